/* tokenizer_json_unused.c - the members of a tokenizer.json that concern what encoding never does, truncation and the
 * post-processor: read so that a file that contradicts itself is refused rather than half believed. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/text/json_internal.h"

void vlm_json_reader_truncation(struct vlm_json_reader *reader)
{
    struct vlm_json_scan *in = &reader->in;
    struct vlm_json_keys seen = { 0 };
    uint64_t max_length = UINT64_MAX, stride = 0;
    if (vlm_json_scan_null(in))
        return;
    vlm_json_scan_open(in, '{');
    while (vlm_json_scan_more(in, '}')) {
        size_t up;
        const char *key = vlm_json_reader_key(reader, &seen, &up);
        if (!strcmp(key, "max_length"))
            max_length = vlm_json_scan_number(in);
        else if (!strcmp(key, "stride"))
            stride = vlm_json_scan_number(in);
        else
            vlm_json_scan_skip(in);
        vlm_json_reader_up(reader, up);
    }
    if (!max_length || stride >= max_length)
        vlm_json_reader_refuse(reader, "max_length %" PRIu64 " with stride %" PRIu64, max_length,
                               stride);
}

static void note_id(struct vlm_json_reader *reader)
{
    uint64_t id = vlm_json_scan_number(&reader->in);
    if (id >= VLM_PIECES_MAX)
        vlm_json_reader_refuse(reader, "id %" PRIu64 " is over the limit of %d", id,
                               VLM_PIECES_MAX - 1);
    else
        reader->spec->unused_end = VLM_MAX(reader->spec->unused_end, (uint32_t)id + 1);
}

/* ["[SEP]", 102] */
static void read_pair(struct vlm_json_reader *reader)
{
    vlm_json_scan_open(&reader->in, '[');
    for (size_t i = 0; vlm_json_scan_more(&reader->in, ']'); i++)
        if (i == 1)
            note_id(reader);
        else
            vlm_json_scan_skip(&reader->in);
}

/* The names that a template uses and those that it explains. */
struct names {
    struct vlm_text used[64], known[64];
    size_t n_used, n_known;
};

static void add_name(struct vlm_json_reader *reader, struct vlm_text *names, size_t *n,
                     struct vlm_text name)
{
    if (*n < 64)
        names[(*n)++] = name;
    else
        vlm_json_reader_refuse(reader, "a template of more than 64 special tokens");
}

/* {"NAME": {"id": "NAME", "ids": [..], "tokens": [..]}, ..} */
static void read_special_tokens(struct vlm_json_reader *reader, struct names *names)
{
    struct vlm_json_scan *in = &reader->in;
    vlm_json_scan_open(in, '{');
    while (vlm_json_scan_more(in, '}')) {
        struct vlm_text name;
        name.at = vlm_json_scan_key_text(in, &name.n);
        add_name(reader, names->known, &names->n_known, name);
        vlm_json_scan_open(in, '{');
        while (vlm_json_scan_more(in, '}')) {
            if (strcmp(vlm_json_scan_key(in), "ids") != 0) {
                vlm_json_scan_skip(in);
                continue;
            }
            vlm_json_scan_open(in, '[');
            while (vlm_json_scan_more(in, ']'))
                note_id(reader);
        }
    }
}

/* [{"SpecialToken": {"id": "NAME", ..}}, {"Sequence": ..}, ..] */
static void read_template(struct vlm_json_reader *reader, struct names *names)
{
    struct vlm_json_scan *in = &reader->in;
    vlm_json_scan_open(in, '[');
    while (vlm_json_scan_more(in, ']')) {
        vlm_json_scan_open(in, '{');
        while (vlm_json_scan_more(in, '}')) {
            if (strcmp(vlm_json_scan_key(in), "SpecialToken") != 0) {
                vlm_json_scan_skip(in);
                continue;
            }
            vlm_json_scan_open(in, '{');
            while (vlm_json_scan_more(in, '}'))
                if (!strcmp(vlm_json_scan_key(in), "id"))
                    add_name(reader, names->used, &names->n_used, vlm_json_reader_text(reader));
                else
                    vlm_json_scan_skip(in);
        }
    }
}

static void check_names(struct vlm_json_reader *reader, const struct names *names)
{
    for (size_t i = 0; i < names->n_used; i++) {
        struct vlm_text used = names->used[i];
        size_t k = 0;
        while (k < names->n_known &&
               (names->known[k].n != used.n || memcmp(names->known[k].at, used.at, used.n) != 0))
            k++;
        if (k == names->n_known)
            vlm_json_reader_refuse(reader, "the template uses '%.64s', which special_tokens lacks",
                                   used.at);
    }
}

void vlm_json_reader_post_processor(struct vlm_json_reader *reader)
{
    struct vlm_json_scan *in = &reader->in;
    struct vlm_json_keys seen = { 0 };
    struct names names = { .n_used = 0 };
    if (vlm_json_scan_null(in))
        return;
    if (++reader->depth > VLM_TOKENIZER_DEPTH_MAX)
        vlm_json_reader_refuse(reader, "more than %d sequences inside one another",
                               VLM_TOKENIZER_DEPTH_MAX);
    vlm_json_scan_open(in, '{');
    while (vlm_json_scan_more(in, '}')) {
        size_t up;
        const char *key = vlm_json_reader_key(reader, &seen, &up);
        if (!strcmp(key, "sep") || !strcmp(key, "cls")) {
            read_pair(reader);
        } else if (!strcmp(key, "single") || !strcmp(key, "pair")) {
            read_template(reader, &names);
        } else if (!strcmp(key, "special_tokens")) {
            read_special_tokens(reader, &names);
        } else if (!strcmp(key, "processors")) {
            vlm_json_scan_open(in, '[');
            while (vlm_json_scan_more(in, ']'))
                vlm_json_reader_post_processor(reader);
        } else {
            vlm_json_scan_skip(in);
        }
        vlm_json_reader_up(reader, up);
    }
    check_names(reader, &names);
    reader->depth--;
}
