/* passes.c - runs the passes, and holds the two that say what is never seen: hidden elements and
 * noscript copies of images.
 *
 * A noscript element stands for what a script would have made. Its text mostly asks to switch
 * scripts on, and its images mostly repeat the lazy image beside it; but on some pages it holds the
 * whole content, or the only usable URL of an image. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/html/layout.h"
#include "tokenize/html/passes.h"
#include "tokenize/html/passes_internal.h"

/* A noscript with less text than this is not the page. */
enum { FALLBACK_MIN = 200 };

#define E(name) [VLM_ELEMENT_##name]

/* Rule P0 of minimal HTML: what never shows text, or shows it only where something is missing. */
static const bool never_seen[VLM_ELEMENT_COUNT] = {
    E(script) = true, E(style) = true,  E(template) = true, E(svg) = true,    E(math) = true,
    E(canvas) = true, E(object) = true, E(embed) = true,    E(applet) = true, E(audio) = true,
    E(video) = true,  E(source) = true, E(track) = true,    E(param) = true,  E(base) = true,
    E(link) = true,   E(iframe) = true, E(datalist) = true,
};

static bool is_fallback(unsigned name)
{
    return name == VLM_ELEMENT_noscript || name == VLM_ELEMENT_noframes;
}

/* The text below node is hidden, its images stay: they may be the only copy. */
static void hide_texts(struct vlm_tree *tree, uint32_t node)
{
    for (uint32_t i = tree->nodes[node].open; i < tree->nodes[node].close; i++) {
        struct vlm_event *event = &tree->document->events[i];
        if (event->kind == VLM_EVENT_TEXT)
            event->flags |= VLM_NODE_HIDDEN;
    }
}

void vlm_pass_hidden(struct vlm_tree *tree)
{
    for (uint32_t i = 0; i < tree->n_nodes; i++) {
        unsigned name = tree->nodes[i].name;
        if (name < VLM_ELEMENT_COUNT && never_seen[name] && !is_fallback(name))
            vlm_tree_mark(tree, i, VLM_NODE_HIDDEN);
    }
    vlm_tree_measure(tree, VLM_NODE_HIDDEN);
    bool marked = false;
    for (uint32_t i = 0; i < tree->n_nodes;) {
        const struct vlm_tree_node *node = &tree->nodes[i];
        if (!is_fallback(node->name)) {
            i++;
            continue;
        }
        if (node->characters < FALLBACK_MIN || (uint64_t)node->characters * 2 < tree->characters) {
            if (node->images)
                hide_texts(tree, i);
            else
                vlm_tree_mark(tree, i, VLM_NODE_HIDDEN);
            marked = true;
        }
        i = node->end; /* a noscript within a noscript shares its fate */
    }
    if (marked)
        vlm_tree_measure(tree, VLM_NODE_HIDDEN);
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Hashes of the candidate URLs of all images outside noscript. */
struct url_set {
    uint64_t *hashes;
    size_t n;
};

static uint64_t candidate_hash(const struct vlm_document *document, struct vlm_string url)
{
    return vlm_xxh3(document->text + url.start, url.length);
}

static bool any_known(const struct vlm_tree *tree, const struct vlm_document_image *image,
                      const struct url_set *known)
{
    for (unsigned i = 0; i < image->n_candidates; i++) {
        uint64_t hash = candidate_hash(tree->document, image->candidate[i]);
        if (bsearch(&hash, known->hashes, known->n, sizeof(hash), compare_hashes))
            return true;
    }
    return false;
}

/* Whether the image has a URL from somewhere else than its src attribute: a placeholder stands
 * there, or nothing. */
static bool is_lazy(const struct vlm_tree *tree, uint32_t node,
                    const struct vlm_document_image *image)
{
    struct vlm_string src;
    if (!image->n_candidates)
        return false;
    if (!vlm_tree_attribute(tree, node, VLM_ATTRIBUTE_src, &src))
        return true;
    return src.length != image->src.length ||
           memcmp(tree->document->text + src.start, tree->document->text + image->src.start,
                  src.length) != 0;
}

static int collect_known(struct url_set *known, struct vlm_tree *tree, struct vlm_arena *scratch,
                         struct vlm_err *err)
{
    const struct vlm_document *document = tree->document;
    known->hashes =
        vlm_arena_alloc(scratch, document->n_images * VLM_IMAGE_CANDIDATES_MAX, sizeof(uint64_t));
    if (!known->hashes)
        return vlm_fail(err, VLM_ELIMIT, "URLs of %zu images do not fit into memory",
                        document->n_images);
    size_t depth = 0;
    for (size_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_OPEN && event->name == VLM_ELEMENT_noscript)
            depth++;
        else if (event->kind == VLM_EVENT_CLOSE && event->name == VLM_ELEMENT_noscript)
            depth--;
        if (event->kind != VLM_EVENT_IMAGE || depth)
            continue;
        const struct vlm_document_image *image = &document->images[event->start];
        for (unsigned k = 0; k < image->n_candidates; k++)
            known->hashes[known->n++] = candidate_hash(document, image->candidate[k]);
    }
    qsort(known->hashes, known->n, sizeof(*known->hashes), compare_hashes);
    return VLM_OK;
}

static bool is_blank(const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t space = vlm_space_at(p + i, n - i);
        if (!space)
            return false;
        i += space;
    }
    return true;
}

int vlm_pass_duplicate(struct vlm_tree *tree, struct vlm_arena *scratch, struct vlm_err *err)
{
    struct vlm_document *document = tree->document;
    struct url_set known = { 0 };
    int rc = collect_known(&known, tree, scratch, err);
    if (rc < 0)
        return rc;
    size_t depth = 0;
    bool after_lazy = false; /* a lazy image, and no text since */
    for (size_t i = 0; i < document->n_events; i++) {
        struct vlm_event *event = &document->events[i];
        if (event->kind == VLM_EVENT_OPEN && event->name == VLM_ELEMENT_noscript)
            depth++;
        else if (event->kind == VLM_EVENT_CLOSE && event->name == VLM_ELEMENT_noscript)
            depth--, after_lazy = false;
        else if (event->kind == VLM_EVENT_TEXT && !depth &&
                 !is_blank(document->text + event->start, event->length))
            after_lazy = false;
        if (event->kind != VLM_EVENT_IMAGE)
            continue;
        const struct vlm_document_image *image = &document->images[event->start];
        uint32_t node = tree->node_of[i];
        if (!depth) {
            after_lazy = node != VLM_TREE_NONE && is_lazy(tree, node, image);
        } else if (after_lazy || any_known(tree, image, &known)) {
            event->flags |= VLM_NODE_DUPLICATE;
            if (node != VLM_TREE_NONE)
                vlm_tree_mark(tree, node, VLM_NODE_DUPLICATE);
        }
    }
    return VLM_OK;
}

int vlm_passes_run(struct vlm_document *document, struct vlm_arena *scratch, struct vlm_err *err)
{
    const unsigned keep = VLM_NODE_HIDDEN; /* the parser may know more than the element's name */
    for (size_t i = 0; i < document->n_events; i++)
        document->events[i].flags &= (uint8_t)keep;
    struct vlm_tree tree;
    int rc = vlm_tree_build(&tree, document, scratch, err);
    if (rc < 0)
        return rc;
    vlm_pass_hidden(&tree);
    rc = vlm_pass_duplicate(&tree, scratch, err);
    if (rc < 0)
        return rc;
    vlm_pass_chrome(&tree);
    vlm_tree_measure(&tree, VLM_NODE_HIDDEN | VLM_NODE_DUPLICATE | VLM_NODE_CHROME);
    rc = vlm_pass_main(&tree, scratch, err);
    if (rc < 0)
        return rc;
    vlm_pass_small(&tree);
    vlm_pass_unwrap(&tree);
    return VLM_OK;
}
