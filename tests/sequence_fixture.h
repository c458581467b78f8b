/* sequence_fixture.h - a small byte-level tokenizer for tests of vocabularies and sequences: the
 * control words as ids 0 to 21, then 256 bytes, then merges that would join a tag to what stands
 * beside it if segments did not keep them apart.
 *
 *   struct vlm_text_tokenizer *tokenizer = fixture_tokenizer(true); */
#ifndef VLM_TESTS_SEQUENCE_FIXTURE_H
#define VLM_TESTS_SEQUENCE_FIXTURE_H

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "tests/folder_fixture.h"
#include "tokenize/sequence/sequence.h"

#include <unistd.h>

enum {
    FIXTURE_CONTROLS = 22,
    FIXTURE_BYTES = FIXTURE_CONTROLS,
    FIXTURE_MERGES = FIXTURE_BYTES + 256
};

/* The character that stands for a byte in the files of byte-level tokenizers (GPT-2's
 * encoder.py). */
static inline uint32_t fixture_character(unsigned byte)
{
    uint32_t next = 256;
    for (unsigned b = 0; b < 256; b++) {
        bool itself = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (b == byte)
            return itself ? b : next;
        next += !itself;
    }
    return 0;
}

/* Appends a character as UTF-8; all are below U+0800. */
static inline void fixture_put(struct vlm_buffer *out, uint32_t c)
{
    if (c >= 0x80)
        vlm_buffer_byte(out, (uint8_t)(0xc0 | c >> 6));
    vlm_buffer_byte(out, (uint8_t)(c < 0x80 ? c : 0x80 | (c & 0x3f)));
}

static const char *const fixture_merges[][2] = {
    { "\"", ">" }, { ">", "<" }, { "=", "\"" }, { "t", "h" }, { "th", "e" },
};

static inline void fixture_json(struct vlm_buffer *out, bool special)
{
    struct vlm_json json = { .out = out };
    char word[VLM_CONTROL_WORD_SIZE];
    struct vlm_buffer piece = { 0 };
    vlm_buffer_text(out, "{\"version\": \"1.0\", \"added_tokens\": [");
    for (uint32_t i = 0; i < FIXTURE_CONTROLS; i++)
        vlm_buffer_printf(out,
                          "%s{\"id\": %" PRIu32 ", \"content\": \"%s\", \"single_word\": false, "
                          "\"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                          "\"special\": %s}",
                          i ? ", " : "", i, vlm_vocabulary_word(word, i),
                          special ? "true" : "false");
    vlm_buffer_text(out,
                    "], \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
                    "\"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}, "
                    "\"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\", "
                    "\"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}, "
                    "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
                    "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, "
                    "\"fuse_unk\": false, \"byte_fallback\": false, \"vocab\": ");
    vlm_json_open(&json, '{');
    for (uint32_t i = 0; i < FIXTURE_CONTROLS; i++)
        vlm_json_member_number(&json, vlm_vocabulary_word(word, i), i);
    for (unsigned i = 0; i < 256 + VLM_COUNTOF(fixture_merges); i++) {
        vlm_buffer_reset(&piece);
        if (i < 256)
            fixture_put(&piece, fixture_character(i));
        for (size_t k = 0; i >= 256 && k < 2; k++)
            vlm_buffer_text(&piece, fixture_merges[i - 256][k]);
        vlm_buffer_byte(&piece, 0);
        vlm_json_member_number(&json, (const char *)piece.data, FIXTURE_BYTES + i);
    }
    vlm_json_close(&json, '}');
    vlm_json_key(&json, "merges");
    vlm_json_open(&json, '[');
    for (size_t i = 0; i < VLM_COUNTOF(fixture_merges); i++) {
        char both[16];
        snprintf(both, sizeof(both), "%s %s", fixture_merges[i][0], fixture_merges[i][1]);
        vlm_json_string(&json, both);
    }
    vlm_json_close(&json, ']');
    vlm_buffer_text(out, "}}");
    vlm_buffer_release(&piece);
}

/* special: no text becomes a control word; else the tokenizer looks for them in all text. NULL
 * when it cannot be opened. */
static inline struct vlm_text_tokenizer *fixture_tokenizer(bool special)
{
    char *path = new_file();
    struct vlm_text_tokenizer *tokenizer = NULL;
    struct vlm_buffer text = { 0 };
    struct vlm_err err = { 0 };
    if (!path)
        return NULL;
    fixture_json(&text, special);
    int rc = text.failed ? VLM_ENOMEM : vlm_file_write(path, text.data, text.size, &err);
    if (rc == VLM_OK)
        rc = vlm_text_tokenizer_open(&tokenizer, path, &err);
    if (rc < 0)
        fprintf(stderr, "%s\n", err.msg);
    unlink(path);
    free(path);
    vlm_buffer_release(&text);
    return tokenizer;
}

#endif
