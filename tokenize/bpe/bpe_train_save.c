/* bpe_train_save.c - a learnt vocabulary as tokenizer.json, an entry a line.
 *
 * The file says what the package tokenizers says of a byte-level BPE: the special tokens first, then bytes and merges
 * in GPT-2's spelling. */
#include "base/vlm.h"

#include "tokenize/bpe/bpe_train.h"

#include "base/file.h"
#include "base/json.h"

enum { BYTES = 256 };

/* The spelling of every id but the specials, one behind the other. */
struct spellings {
    struct vlm_buffer text;
    size_t *start; /* [n + 1] */
    size_t n;
};

static void add_bytes(struct spellings *spellings)
{
    for (uint32_t c = 0; spellings->n < BYTES; c++)
        for (unsigned byte = 0; byte < BYTES; byte++)
            if (vlm_bpe_byte_to_char((uint8_t)byte) == c) {
                vlm_bpe_bytes_to_spelling(&spellings->text, &(uint8_t){ (uint8_t)byte }, 1);
                spellings->start[++spellings->n] = spellings->text.size;
            }
}

/* The spelling of an id; it moves when another is added. */
static const char *spelling(const struct spellings *spellings, uint32_t i, size_t *n)
{
    *n = spellings->start[i + 1] - spellings->start[i];
    return (const char *)spellings->text.data + spellings->start[i];
}

static void add_copy(struct spellings *spellings, uint32_t i)
{
    size_t n = spellings->start[i + 1] - spellings->start[i];
    uint8_t *to = vlm_buffer_reserve(&spellings->text, n);
    if (!to)
        return;
    memcpy(to, spellings->text.data + spellings->start[i], n);
    spellings->text.size += n;
}

static int spell(struct spellings *spellings, const struct vlm_bpe_trained *trained,
                 struct vlm_err *err)
{
    spellings->start = calloc((size_t)BYTES + trained->n_merges + 1, sizeof(*spellings->start));
    if (!spellings->start)
        return vlm_fail(err, VLM_ENOMEM, "no memory for %" PRIu32 " merges", trained->n_merges);
    add_bytes(spellings);
    for (uint32_t i = 0; i < trained->n_merges && !spellings->text.failed; i++) {
        add_copy(spellings, trained->merges[i][0] - trained->n_specials);
        add_copy(spellings, trained->merges[i][1] - trained->n_specials);
        spellings->start[++spellings->n] = spellings->text.size;
    }
    if (spellings->text.failed)
        return vlm_fail(err, VLM_ENOMEM, "no memory to spell %" PRIu32 " merges",
                        trained->n_merges);
    return VLM_OK;
}

/* Text that is learnt must never be the word of a special token: one of the two would be lost. */
static int check_specials(const struct spellings *spellings, const char *const *specials,
                          uint32_t n_specials, struct vlm_err *err)
{
    for (uint32_t k = 0; k < n_specials; k++)
        for (uint32_t i = 0; i < spellings->n; i++) {
            size_t n;
            const char *text = spelling(spellings, i, &n);
            if (n == strlen(specials[k]) && !memcmp(text, specials[k], n))
                return vlm_fail(err, VLM_EUSAGE, "the texts teach '%s', which is a special token",
                                specials[k]);
        }
    return VLM_OK;
}

static void write_string(struct vlm_buffer *out, const char *text, size_t n)
{
    vlm_json_text(&(struct vlm_json){ .out = out }, text, n);
}

static void write_specials(struct vlm_buffer *out, const char *const *specials, uint32_t n)
{
    vlm_buffer_text(out, "  \"added_tokens\": [");
    for (uint32_t i = 0; i < n; i++) {
        vlm_buffer_printf(out, "%s\n    {\"id\": %" PRIu32 ", \"content\": ", i ? "," : "", i);
        write_string(out, specials[i], strlen(specials[i]));
        vlm_buffer_text(out, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                             "\"normalized\": false, \"special\": true}");
    }
    vlm_buffer_text(out, n ? "\n  ],\n" : "],\n");
}

static void write_vocabulary(struct vlm_buffer *out, const struct spellings *spellings,
                             const char *const *specials, uint32_t n_specials)
{
    vlm_buffer_text(out, "    \"vocab\": {");
    for (uint32_t i = 0; i < n_specials + spellings->n; i++) {
        size_t n;
        vlm_buffer_text(out, i ? ",\n      " : "\n      ");
        const char *text = i < n_specials ? specials[i] : spelling(spellings, i - n_specials, &n);
        write_string(out, text, i < n_specials ? strlen(text) : n);
        vlm_buffer_printf(out, ": %" PRIu32, i);
    }
    vlm_buffer_text(out, "\n    },\n");
}

static void write_merges(struct vlm_buffer *out, const struct spellings *spellings,
                         const struct vlm_bpe_trained *trained)
{
    vlm_buffer_text(out, "    \"merges\": [");
    for (uint32_t i = 0; i < trained->n_merges; i++) {
        vlm_buffer_text(out, i ? ",\n      [" : "\n      [");
        for (unsigned side = 0; side < 2; side++) {
            size_t n;
            const char *text =
                spelling(spellings, trained->merges[i][side] - trained->n_specials, &n);
            write_string(out, text, n);
            vlm_buffer_text(out, side ? "]" : ", ");
        }
    }
    vlm_buffer_text(out, trained->n_merges ? "\n    ]\n" : "]\n");
}

static void write_file(struct vlm_buffer *out, const struct spellings *spellings,
                       const struct vlm_bpe_trained *trained, const char *const *specials)
{
    vlm_buffer_text(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n"
                         "  \"padding\": null,\n");
    write_specials(out, specials, trained->n_specials);
    vlm_buffer_text(out, "  \"normalizer\": null,\n"
                         "  \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": "
                         "false, \"trim_offsets\": false, \"use_regex\": true},\n"
                         "  \"post_processor\": null,\n"
                         "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                         "\"trim_offsets\": false, \"use_regex\": true},\n"
                         "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n"
                         "    \"unk_token\": null,\n    \"continuing_subword_prefix\": null,\n"
                         "    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
                         "    \"byte_fallback\": false,\n    \"ignore_merges\": false,\n");
    write_vocabulary(out, spellings, specials, trained->n_specials);
    write_merges(out, spellings, trained);
    vlm_buffer_text(out, "  }\n}\n");
}

int vlm_bpe_trained_save(const struct vlm_bpe_trained *trained, const char *const *specials,
                         enum vlm_split split, const char *path, struct vlm_err *err)
{
    struct spellings spellings = { 0 };
    struct vlm_buffer out = { 0 };
    VLM_BUG_IF(split != VLM_SPLIT_GPT2); /* the only scanner that has a name in tokenizer.json */
    int rc = spell(&spellings, trained, err);
    if (rc == VLM_OK)
        rc = check_specials(&spellings, specials, trained->n_specials, err);
    if (rc == VLM_OK)
        write_file(&out, &spellings, trained, specials);
    if (out.failed)
        rc = vlm_fail(err, VLM_ENOMEM, "no memory for '%s'", path);
    if (rc == VLM_OK)
        rc = vlm_file_write(path, out.data, out.size, err);
    vlm_buffer_release(&out);
    vlm_buffer_release(&spellings.text);
    free(spellings.start);
    return rc;
}
