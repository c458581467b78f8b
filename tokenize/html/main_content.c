/* main_content.c - what of a page is its main content, by the density of text.
 *
 * Blocks with running text (some length or punctuation, few links) count by their length. What is
 * named as standing beside an article (comments, related links, advertisements) does not, as long
 * as it is the smaller part of the page. From the root the walk goes down into the child that holds
 * nearly all of that text, until the text is spread over several children: there the content
 * begins, and what was passed on the way is OUTSIDE, but for figures. Sections of one document, which
 * are alike and begin with headings of one level, are not passed by. Inside, blocks that consist of
 * links are OUTSIDE too. What describes an image is CAPTION: it belongs to the content only together
 * with the image. A page without running text keeps everything. */
#include "base/vlm.h"

#include "tokenize/html/layout.h"
#include "tokenize/html/main_rules.h"
#include "tokenize/html/passes_internal.h"
#include "tokenize/html/sections.h"

enum {
    PLAIN_MIN = 25,     /* characters outside links that a block needs to count */
    PLAIN_SURE = 100,   /* ... and those that it needs without punctuation */
    DESCEND_SHARE = 70, /* % of a node's text that a child needs to be gone into */
    LOOSE_SHARE = 10,   /* % of a node's text in paragraphs of its own that makes it the content */
    ARTICLE_SHARE = 45, /* ... and that an article needs */
    MAIN_SHARE = 25,    /* ... and that the main element needs */
    COMMENT_SHARE = 85, /* % of the page's text that comments may hold at most */
    BESIDE_SHARE = 30,  /* % of the page's text that what is named so may hold at most */
    LINK_SHARE = 70,    /* % of a block's text inside links that makes it a list of links */
    LINKS_MIN = 4,
};

/* What class and id say about a node; of several the last counts. */
enum beside { NOT_BESIDE, CAPTION, BESIDE, COMMENTS };

/* What is known about a node beside its measures. */
struct density {
    uint32_t block; /* the nearest block at or above it */
    uint32_t text;  /* of a block: characters in it, not in blocks below it */
    uint32_t links; /* ... of them inside links */
    uint32_t stops; /* ... sentence punctuation */
    bool in_link;
    uint8_t beside; /* enum beside */
    uint64_t score; /* of the sub-tree */
};

struct main_search {
    struct vlm_tree *tree;
    struct density *density;
};

static void measure_blocks(struct main_search *search)
{
    struct vlm_tree *tree = search->tree;
    struct density *density = search->density;
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        const struct vlm_tree_node *node = &tree->nodes[i];
        bool root = node->parent == VLM_TREE_NONE;
        bool block = root || vlm_element_layout(node->name) > VLM_LAYOUT_BREAK;
        density[i] = (struct density){ .block = block ? i : density[node->parent].block };
        density[i].in_link =
            node->name == VLM_ELEMENT_a || (!root && density[node->parent].in_link);
        density[density[i].block].text += node->own_characters;
        density[density[i].block].links += density[i].in_link ? node->own_characters : 0;
    }
    for (size_t i = 0; i < tree->document->n_events; i++) {
        const struct vlm_event *event = &tree->document->events[i];
        uint32_t node = tree->node_of[i];
        if (event->kind != VLM_EVENT_TEXT || node == VLM_TREE_NONE || tree->nodes[node].out)
            continue;
        density[density[node].block].stops += tree->texts[i].stops;
    }
}

static uint64_t block_score(const struct vlm_tree_node *node, const struct density *it)
{
    uint32_t plain = it->text - VLM_MIN(it->links, it->text);
    if (node->out || plain < PLAIN_MIN || it->links > plain || vlm_is_heading(node->name))
        return 0;
    return plain >= PLAIN_SURE || it->stops ? plain : 0;
}

/* Scores of all sub-trees, without those marked. Returns the page's. */
static uint64_t sum_scores(struct main_search *search)
{
    struct vlm_tree *tree = search->tree;
    uint64_t total = 0;
    for (uint32_t i = 0; i < tree->n_nodes; i++)
        search->density[i].score = 0;
    for (uint32_t i = tree->n_nodes; i-- > 0;) {
        struct density *it = &search->density[i];
        if (it->block == i)
            it->score += block_score(&tree->nodes[i], it);
        if (vlm_tree_flags(tree, i) & (VLM_NODE_OUTSIDE | VLM_NODE_CAPTION))
            it->score = 0;
        if (tree->nodes[i].parent == VLM_TREE_NONE)
            total += it->score;
        else
            search->density[tree->nodes[i].parent].score += it->score;
    }
    return total;
}

struct word {
    const char *text;
    uint8_t length;
    uint8_t meaning; /* enum beside */
};

static const struct word words[] = {
#define X(word) { word, sizeof(word) - 1, CAPTION },
    VLM_CAPTION_WORDS(X)
#undef X
#define X(word) { word, sizeof(word) - 1, BESIDE },
        VLM_BESIDE_WORDS(X)
#undef X
#define X(word) { word, sizeof(word) - 1, COMMENTS },
            VLM_COMMENT_WORDS(X)
#undef X
};

/* The words by their first letter: a list each, in indices + 1 of words. Made once a page. */
struct word_index {
    uint8_t first[26];
    uint8_t next[VLM_COUNTOF(words)];
};

static void index_words(struct word_index *index)
{
    VLM_BUG_IF(VLM_COUNTOF(words) >= UINT8_MAX);
    memset(index, 0, sizeof(*index));
    for (size_t i = 0; i < VLM_COUNTOF(words); i++) {
        uint8_t *first = &index->first[words[i].text[0] - 'a'];
        index->next[i] = *first;
        *first = (uint8_t)(i + 1);
    }
}

static enum beside word_meaning(const struct word_index *index, const char *word, size_t n)
{
    if (word[0] < 'a' || word[0] > 'z')
        return NOT_BESIDE;
    for (unsigned i = index->first[word[0] - 'a']; i; i = index->next[i - 1])
        if (words[i - 1].length == n && !memcmp(words[i - 1].text, word, n))
            return (enum beside)words[i - 1].meaning;
    return NOT_BESIDE;
}

/* Splits value into words and asks what they mean: the strongest meaning counts. */
static enum beside names_beside(const struct word_index *index, const char *value, size_t n)
{
    char word[24];
    size_t length = 0;
    bool capital = false;
    enum beside found = NOT_BESIDE;
    for (size_t i = 0; i <= n; i++) {
        char c = i < n ? value[i] : ' ';
        bool upper = c >= 'A' && c <= 'Z';
        bool letter = upper || (c >= 'a' && c <= 'z') || (uint8_t)c >= 0x80;
        if (length && (!letter || (upper && !capital))) {
            if (length <= sizeof(word))
                found = VLM_MAX(found, word_meaning(index, word, length));
            length = 0;
        }
        capital = upper;
        if (letter && length < sizeof(word))
            word[length] = upper ? (char)(c + ('a' - 'A')) : c;
        length += letter;
    }
    return found;
}

static enum beside is_beside(const struct word_index *index, const struct vlm_tree *tree,
                             uint32_t node)
{
    const struct vlm_tree_node *it = &tree->nodes[node];
    enum beside found = it->name == VLM_ELEMENT_aside        ? BESIDE
                        : it->name == VLM_ELEMENT_figcaption ? CAPTION
                                                             : NOT_BESIDE;
    for (size_t i = (size_t)it->open + 1; i < it->close; i++) {
        const struct vlm_event *event = &tree->document->events[i];
        if (event->kind != VLM_EVENT_ATTRIBUTE)
            break;
        const char *value = tree->document->text + event->start;
        enum beside meaning = NOT_BESIDE;
        if (event->name == VLM_ATTRIBUTE_class || event->name == VLM_ATTRIBUTE_id)
            meaning = names_beside(index, value, event->length);
        if (meaning == BESIDE && event->name == VLM_ATTRIBUTE_id &&
            vlm_section_is_named(tree, node, value, event->length))
            meaning = NOT_BESIDE; /* a section about menus is no menu */
        found = VLM_MAX(found, meaning);
    }
    return found;
}

static void find_beside(struct main_search *search)
{
    struct word_index index;
    index_words(&index);
    const struct vlm_tree_node *nodes = search->tree->nodes;
    uint32_t code_end = 0; /* in code, "comment" is the name of a colour */
    for (uint32_t i = 0; i < search->tree->n_nodes; i++) {
        bool asked = !nodes[i].out && i >= code_end;
        search->density[i].beside =
            asked ? (uint8_t)is_beside(&index, search->tree, i) : NOT_BESIDE;
        if (i >= code_end &&
            (nodes[i].name == VLM_ELEMENT_pre || nodes[i].name == VLM_ELEMENT_code))
            code_end = nodes[i].end;
    }
}

/* Marks what is named as standing beside the content and is not most of it. */
static void mark_beside(struct main_search *search, enum beside wanted, unsigned share,
                        uint64_t total)
{
    struct vlm_tree *tree = search->tree;
    for (uint32_t i = 0; i < tree->n_nodes;) {
        const struct vlm_tree_node *node = &tree->nodes[i];
        bool whole = node->name == VLM_ELEMENT_html || node->name == VLM_ELEMENT_body ||
                     node->name == VLM_ELEMENT_main;
        if (!node->out &&
            (whole || search->density[i].score * 100 > total * share ||
             search->density[i].beside != wanted || (wanted == CAPTION && node->images))) {
            i++;
            continue;
        }
        if (!node->out)
            vlm_tree_mark(tree, i, wanted == CAPTION ? VLM_NODE_CAPTION : VLM_NODE_OUTSIDE);
        i = node->end;
    }
}

static void unmark_all(struct vlm_tree *tree)
{
    for (uint32_t i = 0; i < tree->n_nodes; i++)
        tree->document->events[tree->nodes[i].open].flags &= (uint8_t)~VLM_NODE_OUTSIDE;
}

/* Elements that hold content as a whole; a paragraph alone is not a page's content area. */
static bool is_container(unsigned name)
{
    switch (name) {
    case VLM_ELEMENT_p:
    case VLM_ELEMENT_ul:
    case VLM_ELEMENT_ol:
    case VLM_ELEMENT_dl:
    case VLM_ELEMENT_li:
    case VLM_ELEMENT_pre:
    case VLM_ELEMENT_blockquote:
    case VLM_ELEMENT_figure:
        return false;
    default:
        return true;
    }
}

static bool has_value(const struct vlm_tree *tree, uint32_t node, enum vlm_attribute attribute,
                      const char *wanted)
{
    struct vlm_string value;
    return vlm_tree_attribute(tree, node, attribute, &value) && value.length == strlen(wanted) &&
           !memcmp(tree->document->text + value.start, wanted, value.length);
}

/* The share of its parent's text that a node needs to be gone into: less when the page itself names
 * it as its content. There may be many articles, but one main. */
static unsigned share_needed(const struct vlm_tree *tree, uint32_t node)
{
    unsigned name = tree->nodes[node].name;
    if (name == VLM_ELEMENT_main || has_value(tree, node, VLM_ATTRIBUTE_role, "main") ||
        has_value(tree, node, VLM_ATTRIBUTE_itemprop, "articleBody"))
        return MAIN_SHARE;
    return name == VLM_ELEMENT_article ? ARTICLE_SHARE : DESCEND_SHARE;
}

/* The child with the most text, weighed by what it needs; VLM_TREE_NONE when none has text. */
static uint32_t best_child(const struct main_search *search, uint32_t node, uint32_t end)
{
    uint32_t best = VLM_TREE_NONE;
    uint64_t best_weight = 0;
    for (uint32_t i = node; i < end; i = search->tree->nodes[i].end) {
        if (search->density[i].score == 0)
            continue;
        uint64_t weight = search->density[i].score * 100 / share_needed(search->tree, i);
        if (weight >= best_weight && (weight > best_weight || best == VLM_TREE_NONE)) {
            best = i;
            best_weight = weight;
        }
    }
    return best;
}

static bool is_picture(const struct vlm_tree_node *node)
{
    return node->images && (node->name == VLM_ELEMENT_figure || node->name == VLM_ELEMENT_picture ||
                            node->name == VLM_ELEMENT_img);
}

/* Texts that stand directly in a node on the way are not in the content either. */
static void mark_texts(struct vlm_tree *tree, uint32_t node)
{
    const struct vlm_tree_node *it = &tree->nodes[node];
    uint32_t child = node + 1;
    for (uint32_t i = it->open + 1; i < it->close; i++) {
        struct vlm_event *event = &tree->document->events[i];
        if (event->kind == VLM_EVENT_OPEN) {
            i = tree->nodes[child].close;
            child = tree->nodes[child].end;
        } else if (event->kind == VLM_EVENT_TEXT) {
            event->flags |= VLM_NODE_OUTSIDE;
        }
    }
}

/* The text of paragraphs and the like that stand beside the containers of a node. */
static uint64_t loose_score(const struct main_search *search, uint32_t node, uint32_t end)
{
    uint64_t sum = 0;
    for (uint32_t i = node; i < end; i = search->tree->nodes[i].end)
        if (!is_container(search->tree->nodes[i].name))
            sum += search->density[i].score;
    return sum;
}

/* Goes down to the content and marks what is passed on the way. score is the page's. Returns the
 * content's node, or VLM_TREE_NONE when it is the page. */
static uint32_t descend(struct main_search *search, uint64_t score)
{
    struct vlm_tree *tree = search->tree;
    uint32_t content = VLM_TREE_NONE;
    uint32_t first = 0;
    uint32_t end = tree->n_nodes;
    for (;;) {
        uint32_t next = best_child(search, first, end);
        if (next == VLM_TREE_NONE || !is_container(tree->nodes[next].name))
            return content;
        if (search->density[next].score * 100 < score * share_needed(tree, next) ||
            loose_score(search, first, end) * 100 > score * LOOSE_SHARE ||
            vlm_section_has_fellow(tree, next, first, end))
            return content;
        for (uint32_t i = first; i < end; i = tree->nodes[i].end)
            if (i != next && !is_picture(&tree->nodes[i]) &&
                tree->nodes[i].name != VLM_ELEMENT_head)
                vlm_tree_mark(tree, i, VLM_NODE_OUTSIDE);
        if (content != VLM_TREE_NONE)
            mark_texts(tree, content);
        content = next;
        score = search->density[next].score;
        first = next + 1;
        end = tree->nodes[next].end;
    }
}

static bool is_link_list(const struct vlm_tree_node *node)
{
    return vlm_element_layout(node->name) > VLM_LAYOUT_BREAK && !vlm_is_heading(node->name) &&
           node->links >= LINKS_MIN &&
           (uint64_t)node->link_characters * 100 > (uint64_t)node->characters * LINK_SHARE;
}

static void mark_link_lists(struct main_search *search, uint32_t content)
{
    struct vlm_tree *tree = search->tree;
    for (uint32_t i = content + 1; i < tree->nodes[content].end;) {
        const struct vlm_tree_node *node = &tree->nodes[i];
        if (!node->out && is_link_list(node) &&
            (uint64_t)node->characters * 2 < tree->nodes[content].characters) {
            vlm_tree_mark(tree, i, VLM_NODE_OUTSIDE);
            i = node->end;
        } else {
            i++;
        }
    }
}

int vlm_pass_main(struct vlm_tree *tree, struct vlm_arena *scratch, struct vlm_err *err)
{
    struct main_search search = { .tree = tree };
    search.density = vlm_arena_alloc(scratch, tree->n_nodes, sizeof(*search.density));
    if (!search.density)
        return vlm_fail(err, VLM_ELIMIT, "%" PRIu32 " elements do not fit into memory",
                        tree->n_nodes);
    measure_blocks(&search);
    find_beside(&search);
    uint64_t total = sum_scores(&search);
    if (!total)
        return VLM_OK;
    mark_beside(&search, COMMENTS, COMMENT_SHARE, total);
    uint64_t uncommented = sum_scores(&search);
    mark_beside(&search, BESIDE, BESIDE_SHARE, uncommented);
    mark_beside(&search, CAPTION, BESIDE_SHARE, uncommented);
    uint64_t left = sum_scores(&search);
    if (left * 100 < uncommented * (100 - 2 * BESIDE_SHARE)) {
        unmark_all(tree); /* the names mislead on this page */
        left = sum_scores(&search);
    }
    uint32_t content = descend(&search, left);
    if (content != VLM_TREE_NONE)
        mark_link_lists(&search, content);
    return VLM_OK;
}
