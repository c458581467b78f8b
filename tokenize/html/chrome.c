/* chrome.c - marks what surrounds the content of a page, by element, role and name.
 *
 * The rule of minimal HTML (HTLM section 2.1: "headers, footers, copyrights, forms"), made
 * executable. Three guards keep it from eating pages: an element that holds half of the page's text
 * is content whatever its name, the header of an article that holds its heading is content, and an
 * id that is an anchor made of a heading is no name. */
#include "base/vlm.h"

#include "tokenize/html/chrome_rules.h"
#include "tokenize/html/layout.h"
#include "tokenize/html/passes_internal.h"
#include "tokenize/html/sections.h"

enum { NAME_MAX_BYTES = 48 }; /* longer tokens match nothing */

enum name_match { WHOLE, AT_START, AT_END };

struct name_rule {
    const char *name;
    size_t n;
    enum name_match match;
};

#define WORD(name)  { name, sizeof(name) - 1, WHOLE },
#define START(name) { name, sizeof(name) - 1, AT_START },
#define END(name)   { name, sizeof(name) - 1, AT_END },
static const struct name_rule name_rules[] = { VLM_CHROME_NAMES(WORD, START, END) };
#undef WORD
#undef START
#undef END

#define X(name) { name, sizeof(name) - 1, WHOLE },
static const struct name_rule role_rules[] = { VLM_CHROME_ROLES(X) };
static const struct name_rule copyright_rules[] = { VLM_COPYRIGHT_STARTS(X) };
#undef X

static const bool chrome_element[VLM_ELEMENT_COUNT] = {
#define X(name) [VLM_ELEMENT_##name] = true,
    VLM_CHROME_ELEMENTS(X)
#undef X
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool rule_matches(const struct name_rule *rule, const char *token, size_t n)
{
    if (n < rule->n || (rule->match == WHOLE && n != rule->n))
        return false;
    const char *part = rule->match == AT_END ? token + n - rule->n : token;
    return *part == *rule->name && !memcmp(part, rule->name, rule->n);
}

/* Whether a white space separated token of value meets a rule. */
static bool any_token(const char *value, size_t n, const struct name_rule *rules, size_t n_rules)
{
    for (size_t i = 0; i < n;) {
        char token[NAME_MAX_BYTES];
        size_t length = 0;
        for (; i < n && !vlm_space_at(value + i, n - i); i++, length++)
            if (length < sizeof(token))
                token[length] = lower(value[i]);
        for (size_t k = 0; length <= sizeof(token) && k < n_rules; k++)
            if (rule_matches(&rules[k], token, length))
                return true;
        while (i < n && vlm_space_at(value + i, n - i))
            i += vlm_space_at(value + i, n - i);
    }
    return false;
}

static bool named_as_chrome(const struct vlm_tree *tree, uint32_t node)
{
    const struct vlm_document *document = tree->document;
    for (size_t i = tree->nodes[node].open + 1; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind != VLM_EVENT_ATTRIBUTE)
            break;
        const char *value = document->text + event->start;
        if ((event->name == VLM_ATTRIBUTE_class || event->name == VLM_ATTRIBUTE_id) &&
            any_token(value, event->length, name_rules, VLM_COUNTOF(name_rules)) &&
            !(event->name == VLM_ATTRIBUTE_id &&
              vlm_section_is_named(tree, node, value, event->length)))
            return true;
        if (event->name == VLM_ATTRIBUTE_role &&
            any_token(value, event->length, role_rules, VLM_COUNTOF(role_rules)))
            return true;
    }
    return false;
}

/* The first characters of a leaf block are compared; blocks that hold blocks are no leaves. */
static bool is_copyright_line(const struct vlm_tree *tree, uint32_t node)
{
    const struct vlm_tree_node *it = &tree->nodes[node];
    if (it->characters == 0 || it->characters >= VLM_COPYRIGHT_MAX ||
        vlm_element_layout(it->name) < VLM_LAYOUT_CELL)
        return false;
    for (uint32_t i = node + 1; i < it->end; i++)
        if (vlm_element_layout(tree->nodes[i].name) > VLM_LAYOUT_BREAK)
            return false;
    char start[24] = "";
    size_t n = 0;
    for (uint32_t i = it->open; i < it->close && n < sizeof(start); i++) {
        const struct vlm_event *event = &tree->document->events[i];
        const char *text = tree->document->text + event->start;
        for (size_t k = 0; event->kind == VLM_EVENT_TEXT && k < event->length; k++)
            if (n < sizeof(start) && (n > 0 || !vlm_space_at(text + k, event->length - k)))
                start[n++] = lower(text[k]);
    }
    for (size_t k = 0; k < VLM_COUNTOF(copyright_rules); k++)
        if (n >= copyright_rules[k].n &&
            !memcmp(start, copyright_rules[k].name, copyright_rules[k].n))
            return true;
    return false;
}

static bool is_chrome(const struct vlm_tree *tree, uint32_t node, bool in_article)
{
    const struct vlm_tree_node *it = &tree->nodes[node];
    if (it->name >= VLM_ELEMENT_COUNT || it->name == VLM_ELEMENT_html ||
        it->name == VLM_ELEMENT_body || it->name == VLM_ELEMENT_head ||
        it->name == VLM_ELEMENT_main || it->name == VLM_ELEMENT_article)
        return false;
    if (!chrome_element[it->name] && !named_as_chrome(tree, node))
        return is_copyright_line(tree, node);
    if (it->characters && (uint64_t)it->characters * 2 >= tree->characters)
        return false;
    return !(in_article && it->name != VLM_ELEMENT_nav && it->name != VLM_ELEMENT_footer &&
             it->headings > 0);
}

void vlm_pass_chrome(struct vlm_tree *tree)
{
    uint32_t article_end = 0;
    for (uint32_t i = 0; i < tree->n_nodes;) {
        const struct vlm_tree_node *node = &tree->nodes[i];
        if (node->name == VLM_ELEMENT_article || node->name == VLM_ELEMENT_main)
            article_end = VLM_MAX(article_end, node->end);
        if (!is_chrome(tree, i, i < article_end)) {
            i++;
            continue;
        }
        vlm_tree_mark(tree, i, VLM_NODE_CHROME);
        i = node->end;
    }
}
