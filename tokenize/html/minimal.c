/* minimal.c - the passes for minimal HTML: small elements and foldable div.
 *
 * HTLM section 2.1 removes sub-trees "without textual elements of a certain character size (128
 * for standard textual elements, 64 for lists/tables/spans)" and folds consecutive div. Inline
 * elements are not subject to the first rule, or every <b> would disappear; nor is anything that
 * holds an image. */
#include "base/vlm.h"

#include "tokenize/html/layout.h"
#include "tokenize/html/passes_internal.h"

enum { SMALL_STANDARD = 128, SMALL_LIST = 64 };

#define E(name) [VLM_ELEMENT_##name]

/* 0: never small. What is not in the table: standard when it is a block, never when inline. */
static const uint8_t limit_of[VLM_ELEMENT_COUNT] = {
    E(ul) = SMALL_LIST,    E(ol) = SMALL_LIST,      E(dl) = SMALL_LIST,    E(li) = SMALL_LIST,
    E(dt) = SMALL_LIST,    E(dd) = SMALL_LIST,      E(table) = SMALL_LIST, E(thead) = SMALL_LIST,
    E(tbody) = SMALL_LIST, E(tfoot) = SMALL_LIST,   E(tr) = SMALL_LIST,    E(td) = SMALL_LIST,
    E(th) = SMALL_LIST,    E(caption) = SMALL_LIST, E(span) = SMALL_LIST,
};

static unsigned small_limit(unsigned name)
{
    if (name >= VLM_ELEMENT_COUNT || name == VLM_ELEMENT_html || name == VLM_ELEMENT_head ||
        name == VLM_ELEMENT_title || name == VLM_ELEMENT_body)
        return 0;
    if (limit_of[name])
        return limit_of[name];
    return vlm_element_layout(name) > VLM_LAYOUT_BREAK ? SMALL_STANDARD : 0;
}

void vlm_pass_small(struct vlm_tree *tree)
{
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        const struct vlm_tree_node *node = &tree->nodes[i];
        if (node->characters < small_limit(node->name) && !node->images)
            vlm_tree_mark(tree, i, VLM_NODE_SMALL);
    }
}

/* A div whose only content is one element below it, which is a div. Returns that div or NONE. */
static uint32_t only_child_div(const struct vlm_tree *tree, uint32_t node)
{
    const struct vlm_tree_node *it = &tree->nodes[node];
    uint32_t only = VLM_TREE_NONE;
    if (it->name != VLM_ELEMENT_div || it->own_characters || it->out)
        return VLM_TREE_NONE;
    for (uint32_t i = node + 1; i < it->end; i = tree->nodes[i].end) {
        const struct vlm_tree_node *child = &tree->nodes[i];
        if (child->out || (!child->characters && !child->images))
            continue; /* not there in minimal HTML */
        if (only != VLM_TREE_NONE || child->name != VLM_ELEMENT_div)
            return VLM_TREE_NONE;
        only = i;
    }
    return only;
}

void vlm_pass_unwrap(struct vlm_tree *tree)
{
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        uint32_t child = only_child_div(tree, i);
        if (child != VLM_TREE_NONE)
            vlm_tree_mark(tree, child, VLM_NODE_UNWRAP);
    }
}
