/* page_tree.c - builds and measures the array of elements that the passes work on.
 *
 * The stack of open elements is the chain of parents, so depth costs nothing. Text is measured as
 * it will be rendered: runs of white space count as one character, and as none at the borders of
 * blocks. */
#include "base/vlm.h"

#include "tokenize/html/layout.h"
#include "tokenize/html/page_tree.h"

/* Sentence punctuation of Chinese and Japanese: U+3001, U+3002, U+FF0C. */
static bool is_wide_stop(const char *p, size_t n)
{
    return n >= 3 && (!memcmp(p, "\xe3\x80\x81", 3) || !memcmp(p, "\xe3\x80\x82", 3) ||
                      !memcmp(p, "\xef\xbc\x8c", 3));
}

/* Looks at a text once; measuring adds up what is found here. */
static void look_at_text(struct vlm_tree_text *text, const char *p, size_t n)
{
    bool space = false;
    *text = (struct vlm_tree_text){ .space_before = n && vlm_space_at(p, n) };
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)p[i];
        if (c <= ' ' || c == 0xc2) {
            size_t width = vlm_space_at(p + i, n - i);
            if (width) {
                space = true;
                i += width - 1;
                continue;
            }
        }
        if ((c & 0xc0) != 0x80) /* the first byte of a character */
            text->characters += space && text->characters ? 2 : 1;
        space = false;
        if (c == '.' || c == ',' || c == '?' || c == '!' || c == ';' ||
            (c >= 0xe3 && is_wide_stop(p + i, n - i)))
            text->stops++;
    }
    text->space_after = space;
}

int vlm_tree_build(struct vlm_tree *tree, struct vlm_document *document, struct vlm_arena *scratch,
                   struct vlm_err *err)
{
    size_t n_open = 0;
    for (size_t i = 0; i < document->n_events; i++)
        n_open += document->events[i].kind == VLM_EVENT_OPEN;
    *tree = (struct vlm_tree){ .document = document };
    tree->nodes = vlm_arena_zero(scratch, n_open, sizeof(*tree->nodes));
    tree->node_of = vlm_arena_alloc(scratch, document->n_events, sizeof(*tree->node_of));
    tree->texts = vlm_arena_alloc(scratch, document->n_events, sizeof(*tree->texts));
    if (!tree->nodes || !tree->node_of || !tree->texts || document->n_events >= VLM_TREE_NONE)
        return vlm_fail(err, VLM_ELIMIT, "%zu elements do not fit into memory", n_open);
    uint32_t current = VLM_TREE_NONE;
    for (uint32_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_OPEN) {
            struct vlm_tree_node *node = &tree->nodes[tree->n_nodes];
            *node = (struct vlm_tree_node){ .open = i, .parent = current, .name = event->name };
            current = tree->n_nodes++;
        }
        if (event->kind == VLM_EVENT_TEXT)
            look_at_text(&tree->texts[i], document->text + event->start, event->length);
        tree->node_of[i] = current;
        if (event->kind == VLM_EVENT_CLOSE) {
            if (current == VLM_TREE_NONE)
                return vlm_fail(err, VLM_EFORMAT, "event %" PRIu32 " closes no element", i);
            tree->nodes[current].close = i;
            tree->nodes[current].end = tree->n_nodes;
            current = tree->nodes[current].parent;
        }
    }
    if (current != VLM_TREE_NONE)
        return vlm_fail(err, VLM_EFORMAT, "an element is not closed");
    return VLM_OK;
}

/* What lies between two texts decides whether the space between them counts. */
struct measure {
    bool line_start; /* nothing of this line has been counted */
    bool space;      /* white space since the last character */
};

static uint32_t count_characters(struct measure *state, const struct vlm_tree_text *text)
{
    bool space = state->space || text->space_before;
    if (!text->characters) {
        state->space = space;
        return 0;
    }
    uint32_t count = text->characters + (space && !state->line_start);
    state->space = text->space_after;
    state->line_start = false;
    return count;
}

static void measure_events(struct vlm_tree *tree, unsigned flags)
{
    const struct vlm_document *document = tree->document;
    struct measure state = { .line_start = true };
    unsigned in_link = 0;
    for (size_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        struct vlm_tree_node *node =
            tree->node_of[i] == VLM_TREE_NONE ? NULL : &tree->nodes[tree->node_of[i]];
        if (event->kind == VLM_EVENT_OPEN) {
            node->out = (event->flags & flags) ||
                        (node->parent != VLM_TREE_NONE && tree->nodes[node->parent].out);
            in_link += event->name == VLM_ELEMENT_a;
        } else if (event->kind == VLM_EVENT_CLOSE) {
            in_link -= event->name == VLM_ELEMENT_a && in_link > 0;
        }
        if (!node || node->out || node->name == VLM_ELEMENT_title)
            continue; /* a title is not part of what the page shows */
        if (event->kind == VLM_EVENT_TEXT && !(event->flags & flags)) {
            uint32_t n = count_characters(&state, &tree->texts[i]);
            node->own_characters += n;
            node->characters += n;
            node->link_characters += in_link ? n : 0;
        } else if (event->kind == VLM_EVENT_IMAGE && !(event->flags & flags)) {
            node->images++;
        } else if ((event->kind == VLM_EVENT_OPEN || event->kind == VLM_EVENT_CLOSE) &&
                   vlm_element_layout(event->name) != VLM_LAYOUT_INLINE) {
            state = (struct measure){ .line_start = true };
        }
    }
}

void vlm_tree_measure(struct vlm_tree *tree, unsigned flags)
{
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        struct vlm_tree_node *node = &tree->nodes[i];
        node->characters = node->link_characters = node->own_characters = 0;
        node->links = node->images = node->headings = 0;
    }
    measure_events(tree, flags);
    tree->characters = 0;
    for (uint32_t i = tree->n_nodes; i-- > 0;) {
        struct vlm_tree_node *node = &tree->nodes[i];
        if (node->name == VLM_ELEMENT_a && node->characters)
            node->links++;
        if (node->name == VLM_ELEMENT_h1 && node->characters)
            node->headings++;
        if (node->parent == VLM_TREE_NONE) {
            tree->characters += node->characters;
            continue;
        }
        struct vlm_tree_node *parent = &tree->nodes[node->parent];
        parent->characters += node->characters;
        parent->link_characters += node->link_characters;
        parent->links += node->links;
        parent->images += node->images;
        parent->headings += node->headings;
    }
}

bool vlm_tree_attribute(const struct vlm_tree *tree, uint32_t node, enum vlm_attribute attribute,
                        struct vlm_string *value)
{
    const struct vlm_document *document = tree->document;
    for (size_t i = tree->nodes[node].open + 1; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_ATTRIBUTE && event->name == attribute) {
            *value = (struct vlm_string){ event->start, event->length };
            return true;
        }
        if (event->kind != VLM_EVENT_ATTRIBUTE && event->kind != VLM_EVENT_IMAGE)
            break;
    }
    *value = (struct vlm_string){ 0, 0 };
    return false;
}
