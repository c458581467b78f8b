/* render_oracle.h - what must hold for every rendering of every document, whatever the page was.
 *
 *   const char *wrong = render_oracle(document, &scratch);
 *   assert_null(wrong);
 *
 * The checks read the output alone: they know the grammar of the forms, not how they are written.
 * Used by the tests and by the fuzz target. */
#ifndef VLM_TESTS_RENDER_ORACLE_H
#define VLM_TESTS_RENDER_ORACLE_H

#include <ctype.h>
#include <strings.h>

#include "base/utf8.h"
#include "tokenize/names.h"
#include "tokenize/render/render.h"

enum { ORACLE_DEPTH_MAX = 4096 };

/* Occurrences of a word, in any case; a '#' at its end stands for digits and a '>'. */
static inline size_t oracle_count(const struct vlm_buffer *out, const char *word)
{
    size_t n = strlen(word);
    bool digits = word[n - 1] == '#';
    size_t count = 0;
    n -= digits;
    for (size_t i = 0; i + n <= out->size; i++) {
        const char *p = (const char *)out->data + i;
        size_t k = n;
        if (strncasecmp(p, word, n) != 0)
            continue;
        while (digits && i + k < out->size && isdigit((unsigned char)p[k]))
            k++;
        count += !digits || (k > n && i + k < out->size && p[k] == '>');
    }
    return count;
}

/* Images that a sequence shows: usable, and in no part that is left out. */
static inline size_t oracle_images(const struct vlm_document *document, unsigned left_out)
{
    size_t hidden = 0;
    size_t count = 0;
    for (size_t i = 0; i < document->n_events; i++) {
        const struct vlm_event *event = &document->events[i];
        bool out = event->flags & left_out || event->name == VLM_ELEMENT_title;
        if (event->kind == VLM_EVENT_OPEN && (hidden || out))
            hidden++;
        else if (event->kind == VLM_EVENT_CLOSE && hidden)
            hidden--;
        else if (event->kind == VLM_EVENT_IMAGE && !hidden && !(event->flags & left_out))
            count += document->images[event->start].status == 0;
    }
    return count;
}

static inline const char *oracle_foreign_words(const struct vlm_buffer *out)
{
    static const char *const words[] = {
        "<EOS>",  "<PAD>",   "<UNK>", "<s>",   "</s>",     "<mask:#",        "<sentinel:#",
        "<eoss>", "<break>", "<boi>", "<eoi>", "<image:#", "<|endofchunk|>", "<|endoftext|>",
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (oracle_count(out, words[i]))
            return words[i];
    return NULL;
}

static inline const char *oracle_m3w(const struct vlm_document *document,
                                     const struct vlm_buffer *out, unsigned left_out)
{
    size_t images = oracle_images(document, left_out);
    size_t ends = oracle_count(out, "<EOC>");
    if (!out->size)
        return images ? "m3w: empty, but there are images" : NULL;
    if (oracle_count(out, "<BOS>") != 1 || strncmp((const char *)out->data, "<BOS>", 5) != 0)
        return "m3w: not one <BOS>, at the start";
    if (oracle_count(out, "<image>") != images)
        return "m3w: not as many <image> as images";
    if ((ends != images || !images) && ends != images + 1)
        return "m3w: wrong number of <EOC>";
    if (out->size < 10 || memcmp(out->data + out->size - 5, "<EOC>", 5) != 0)
        return "m3w: does not end with <EOC>";
    return oracle_foreign_words(out);
}

static inline const char *oracle_pairs(const struct vlm_buffer *out)
{
    size_t lines = out->size > 0;
    for (size_t i = 0; i < out->size; i++)
        lines += out->data[i] == '\n';
    if (oracle_count(out, "<BOS>") != lines || oracle_count(out, "<image>") != lines ||
        oracle_count(out, "<EOC>") != lines)
        return "pair: not one <BOS>, <image> and <EOC> a line";
    return oracle_foreign_words(out);
}

/* The codes that the images get: the first one says which image it is. */
static inline uint16_t oracle_code(size_t image, size_t k)
{
    return (uint16_t)((image + 257 * k) % UINT16_MAX);
}

/* The value of src: the place of an image or, where images have codes, exactly those of one of them. */
static inline const char *oracle_src(const char *p, bool coded, size_t *size)
{
    unsigned image;
    int used = 0;
    if (!coded) {
        if (sscanf(p, "<image:%u>%n", &image, &used) < 1 || !used)
            return "markup: src is not the place of an image";
        *size = (size_t)used;
        return NULL;
    }
    struct vlm_buffer codes = { 0 };
    image = (unsigned)strtoul(p, NULL, 10);
    for (size_t k = 0; k < VLM_IMAGE_CODES; k++)
        vlm_buffer_printf(&codes, "%s%u", k ? " " : "", oracle_code(image, k));
    bool equal = !codes.failed && !strncmp(p, (const char *)codes.data, codes.size);
    *size = codes.size;
    vlm_buffer_release(&codes);
    return equal ? NULL : "markup: src is not the codes of an image";
}

/* An attribute at *at; leaves *at behind its closing quote. */
static inline const char *oracle_attribute(const char *p, size_t n, size_t *at, char *last,
                                           size_t last_size, bool coded)
{
    char name[32];
    size_t length = 0;
    size_t i = *at;
    while (i < n && islower((unsigned char)p[i]) && length + 1 < sizeof(name))
        name[length++] = p[i++];
    name[length] = 0;
    if (!length || strcmp(name, last) <= 0)
        return "markup: attributes are not in order";
    snprintf(last, last_size, "%s", name);
    if (i + 1 >= n || p[i] != '=' || p[i + 1] != '"')
        return "markup: attribute without quotes";
    i += 2;
    if (!strcmp(name, "src")) {
        size_t size;
        const char *wrong = oracle_src(p + i, coded, &size);
        if (wrong)
            return wrong;
        i += size;
        if (p[i] != '"')
            return "markup: more in src than an image";
    }
    while (i < n && p[i] != '"' && p[i] != '<' && p[i] != '>')
        i++;
    if (i == n || p[i] != '"')
        return "markup: attribute value with < or >";
    *at = i + 1;
    return NULL;
}

static inline const char *oracle_markup(struct vlm_buffer *out, bool coded)
{
    static int stack[ORACLE_DEPTH_MAX];
    size_t depth = 0;
    vlm_buffer_byte(out, 0);
    const char *p = (const char *)out->data;
    size_t n = out->size - 1;
    for (size_t i = 0; i < n;) {
        if (p[i] == '>')
            return "markup: > in text";
        if (p[i++] != '<')
            continue;
        bool end = p[i] == '/';
        i += end;
        size_t length = 0;
        while (i + length < n && islower((unsigned char)p[i + length]))
            length++;
        while (i + length < n && isdigit((unsigned char)p[i + length]))
            length++;
        int name = vlm_element_find(p + i, length);
        if (name < 0)
            return "markup: not an element";
        i += length;
        char last[32] = "";
        const char *wrong = NULL;
        while (!end && i < n && p[i] == ' ' && !wrong) {
            i++;
            wrong = oracle_attribute(p, n, &i, last, sizeof(last), coded);
        }
        if (wrong)
            return wrong;
        if (i >= n || p[i++] != '>')
            return "markup: tag does not end";
        bool empty = name == VLM_ELEMENT_img || name == VLM_ELEMENT_br || name == VLM_ELEMENT_meta;
        if (end && (!depth || stack[--depth] != name))
            return "markup: elements cross";
        if (!end && !empty) {
            if (depth == ORACLE_DEPTH_MAX)
                return "markup: too deep";
            stack[depth++] = name;
        }
    }
    return depth ? "markup: element is not closed" : NULL;
}

static inline const char *oracle_form(const struct vlm_document *document, enum vlm_render form,
                                      unsigned flags, struct vlm_buffer *out)
{
    unsigned left_out = VLM_NODE_HIDDEN | VLM_NODE_DUPLICATE;
    if (flags & VLM_RENDER_MAIN)
        left_out |= VLM_NODE_CHROME | VLM_NODE_OUTSIDE;
    vlm_buffer_reset(out);
    vlm_render(out, document, form, flags);
    if (out->failed)
        return "out of memory";
    if (vlm_utf8_valid_prefix(out->size ? (const char *)out->data : "", out->size) != out->size)
        return "not valid UTF-8";
    switch (form) {
    case VLM_RENDER_CM3:
    case VLM_RENDER_HTLM:
        return oracle_markup(out, document->n_images && document->images[0].codes);
    case VLM_RENDER_M3W:
        return oracle_m3w(document, out, left_out);
    case VLM_RENDER_PAIR:
        return oracle_pairs(out);
    default:
        return NULL;
    }
}

/* NULL, or what is wrong with one of the renderings of the document. Changes image statuses. */
static inline const char *render_oracle(struct vlm_document *document, struct vlm_buffer *scratch)
{
    struct vlm_buffer text = { 0 };
    const char *wrong = NULL;
    vlm_render(&text, document, VLM_RENDER_TEXT, 0);
    uint16_t(*codes)[VLM_IMAGE_CODES] = calloc(document->n_images + 1, sizeof(*codes));
    for (unsigned usable = 0; codes && usable < 4 && !wrong; usable++) {
        for (size_t i = 0; i < document->n_images; i++) { /* none, every second, all, with codes */
            for (size_t k = 0; k < VLM_IMAGE_CODES; k++)
                codes[i][k] = oracle_code(i, k);
            document->images[i].status = usable >= 2 || (usable == 1 && i % 2) ? 0 : 1;
            document->images[i].codes = usable == 3 ? codes[i] : NULL;
        }
        for (int form = VLM_RENDER_JSON; form <= VLM_RENDER_TEXT && !wrong; form++)
            for (unsigned flags = 0; flags < 2 && !wrong; flags++)
                wrong = oracle_form(document, (enum vlm_render)form, flags, scratch);
        vlm_buffer_reset(scratch);
        vlm_render(scratch, document, VLM_RENDER_TEXT, 0);
        if (!wrong && (scratch->size != text.size ||
                       (text.size && memcmp(scratch->data, text.data, text.size) != 0)))
            wrong = "text depends on images";
    }
    for (size_t i = 0; i < document->n_images; i++)
        document->images[i].codes = NULL;
    free(codes);
    vlm_buffer_release(&text);
    return wrong;
}

#endif
