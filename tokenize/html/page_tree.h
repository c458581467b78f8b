/* page_tree.h - the elements of a document as an array, for passes that ask about sub-trees.
 *
 *   rc = vlm_tree_build(&tree, document, scratch, err);
 *   vlm_tree_measure(&tree, VLM_NODE_HIDDEN | VLM_NODE_CHROME);
 *   if (tree.nodes[i].characters < 128) ...
 *
 * Nodes stand in document order, so a sub-tree is the range [i, nodes[i].end) and a loop from the
 * last node to the first sees children before parents: no pass recurses. */
#ifndef VLM_TOKENIZE_PAGE_TREE_H
#define VLM_TOKENIZE_PAGE_TREE_H

#include "tokenize/document.h"
#include "tokenize/names.h"

#define VLM_TREE_NONE UINT32_MAX

struct vlm_tree_node {
    uint32_t open, close; /* events */
    uint32_t parent;      /* node, or VLM_TREE_NONE */
    uint32_t end;         /* node behind the last of the sub-tree */
    uint16_t name;        /* vlm_element */
    bool out;             /* measured as left out, itself or by an ancestor */

    /* Of the whole sub-tree, without what is left out. */
    uint32_t characters;      /* code points of text, white space collapsed */
    uint32_t link_characters; /* those inside <a> */
    uint32_t links;           /* <a> with text */
    uint32_t images;
    uint32_t headings; /* <h1> with text */

    uint32_t own_characters; /* text directly in this element */
};

/* What is in a TEXT event. */
struct vlm_tree_text {
    uint32_t characters; /* white space collapsed, and none at the ends */
    uint32_t stops;      /* sentence punctuation */
    bool space_before, space_after;
};

struct vlm_tree {
    struct vlm_document *document;
    struct vlm_tree_node *nodes;
    uint32_t n_nodes;
    uint32_t *node_of; /* [n_events] node that an event belongs to; OPEN and CLOSE: the element's */
    struct vlm_tree_text *texts; /* [n_events], set for TEXT events */
    uint32_t characters;
};

/* Fills *tree from the events; memory is scratch's. VLM_ELIMIT when it does not fit, VLM_EFORMAT
 * when elements are not balanced. */
VLM_MUST_CHECK int vlm_tree_build(struct vlm_tree *tree, struct vlm_document *document,
                                  struct vlm_arena *scratch, struct vlm_err *err);

/* Measures all nodes, leaving out sub-trees, texts and images whose flags meet those given. */
void vlm_tree_measure(struct vlm_tree *tree, unsigned flags);

/* Flags of a node are those of its OPEN event. */
static inline unsigned vlm_tree_flags(const struct vlm_tree *tree, uint32_t node)
{
    return tree->document->events[tree->nodes[node].open].flags;
}

static inline void vlm_tree_mark(struct vlm_tree *tree, uint32_t node, enum vlm_event_flag flag)
{
    uint8_t *flags = &tree->document->events[tree->nodes[node].open].flags;
    *flags = (uint8_t)(*flags | (unsigned)flag);
}

/* The value of an attribute of a node; length 0 and false when it has none. */
bool vlm_tree_attribute(const struct vlm_tree *tree, uint32_t node, enum vlm_attribute attribute,
                        struct vlm_string *value);

#endif
