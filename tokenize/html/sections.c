/* sections.c - which parts of a page are sections of one document, by their headings.
 *
 * Manuals, articles and wikis are made of elements that are alike, stand side by side and begin with
 * headings of one level. The passes that look for what does not belong to a page ask here before
 * they take such a section for a menu because it is about menus. */
#include "base/vlm.h"

#include "tokenize/html/sections.h"

enum {
    FELLOWS_MAX = 64,   /* siblings that are looked at for a section like this one */
    HEADING_WITHIN = 8, /* elements at the beginning of a section where its heading may stand */
    TEXT_MIN = 25,      /* characters outside links that a section needs */
};

bool vlm_is_heading(unsigned element)
{
    return element >= VLM_ELEMENT_h1 && element <= VLM_ELEMENT_h6;
}

/* The heading that a node begins with, or VLM_TREE_NONE. */
static uint32_t first_heading(const struct vlm_tree *tree, uint32_t node)
{
    uint32_t end = VLM_MIN(tree->nodes[node].end, node + 1 + HEADING_WITHIN);
    for (uint32_t i = node + 1; i < end; i++) {
        if (vlm_is_heading(tree->nodes[i].name) && tree->nodes[i].characters)
            return i;
        if (tree->nodes[i].own_characters)
            break;
    }
    return VLM_TREE_NONE;
}

/* The name of the heading that a node begins with, or 0. */
static unsigned section_level(const struct vlm_tree *tree, uint32_t node)
{
    uint32_t heading = first_heading(tree, node);
    return heading == VLM_TREE_NONE ? 0 : tree->nodes[heading].name;
}

static bool same_class(const struct vlm_tree *tree, uint32_t a, uint32_t b)
{
    struct vlm_string of_a, of_b;
    bool has_a = vlm_tree_attribute(tree, a, VLM_ATTRIBUTE_class, &of_a);
    bool has_b = vlm_tree_attribute(tree, b, VLM_ATTRIBUTE_class, &of_b);
    return has_a == has_b && (!has_a || (of_a.length == of_b.length &&
                                         !memcmp(tree->document->text + of_a.start,
                                                 tree->document->text + of_b.start, of_a.length)));
}

bool vlm_section_has_fellow(const struct vlm_tree *tree, uint32_t node, uint32_t first,
                            uint32_t end)
{
    unsigned level = section_level(tree, node), looked = 0;
    for (uint32_t i = first; level && i < end && looked < FELLOWS_MAX; i = tree->nodes[i].end) {
        const struct vlm_tree_node *it = &tree->nodes[i];
        looked++;
        if (i != node && !it->out && it->name == tree->nodes[node].name &&
            !(vlm_tree_flags(tree, i) & VLM_NODE_OUTSIDE) &&
            it->characters >= it->link_characters + TEXT_MIN && section_level(tree, i) == level &&
            same_class(tree, i, node))
            return true;
    }
    return false;
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* Whether id repeats the words of the heading that a node begins with ("the-file-menu"), as programs
 * that make anchors of headings write it. */
static bool is_slug(const struct vlm_tree *tree, uint32_t node, const char *id, size_t n)
{
    uint32_t heading = first_heading(tree, node);
    size_t at = 0;
    if (heading == VLM_TREE_NONE)
        return false;
    for (uint32_t i = tree->nodes[heading].open; i < tree->nodes[heading].close; i++) {
        const struct vlm_event *event = &tree->document->events[i];
        const char *text = tree->document->text + event->start;
        for (uint32_t k = 0; event->kind == VLM_EVENT_TEXT && k < event->length; k++) {
            if (!is_alphanumeric(text[k]))
                continue;
            while (at < n && !is_alphanumeric(id[at]))
                at++;
            if (at == n || (id[at++] | 32) != (text[k] | 32))
                return false;
        }
    }
    while (at < n && !is_alphanumeric(id[at]))
        at++;
    return at == n;
}

bool vlm_section_is_named(const struct vlm_tree *tree, uint32_t node, const char *id, size_t n)
{
    uint32_t parent = tree->nodes[node].parent;
    if (vlm_is_heading(tree->nodes[node].name))
        return true;
    return parent != VLM_TREE_NONE && is_slug(tree, node, id, n) &&
           vlm_section_has_fellow(tree, node, parent + 1, tree->nodes[parent].end);
}
