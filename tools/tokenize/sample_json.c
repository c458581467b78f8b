/* sample_json.c - a sample as a line of JSON. */
#include "base/vlm.h"

#include "tools/tokenize/sample_lines.h"

static void add_tokens(struct vlm_json *json, const struct vlm_shown_sample *shown)
{
    const struct vlm_sequence *sequence = shown->sample->sequence;
    struct vlm_buffer token = { 0 };
    vlm_json_key(json, "tokens");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < sequence->n; i++) {
        vlm_buffer_reset(&token);
        vlm_vocabulary_token(&token, shown->vocabulary, sequence->ids[i]);
        json->out->failed |= token.failed;
        vlm_json_text(json, token.size ? (const char *)token.data : "", token.size);
    }
    vlm_json_close(json, ']');
    vlm_buffer_release(&token);
}

/* Most weights are 0 or 1. */
static void add_weight(struct vlm_json *json, float weight)
{
    if (weight == 0 || weight == 1)
        vlm_json_number(json, weight == 1);
    else
        vlm_json_real(json, (double)weight);
}

static void add_images(struct vlm_json *json, const struct vlm_sequence *sequence)
{
    vlm_json_key(json, "images");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < sequence->n_images; i++) {
        const struct vlm_sequence_image *image = &sequence->images[i];
        vlm_json_open(json, '{');
        vlm_json_member_number(json, "i", image->image);
        vlm_json_member_number(json, "position", image->position);
        vlm_json_member_number(json, "n_tokens", image->n_tokens);
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, ']');
}

void vlm_sample_json(struct vlm_buffer *out, const struct vlm_shown_sample *shown)
{
    const struct vlm_sample *sample = shown->sample;
    const struct vlm_sequence *sequence = sample->sequence;
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_key(&json, "id");
    vlm_json_hex(&json, shown->id, 16);
    add_tokens(&json, shown);
    vlm_json_key(&json, "ids");
    vlm_json_open(&json, '[');
    for (size_t i = 0; i < sequence->n; i++)
        vlm_json_number(&json, sequence->ids[i]);
    vlm_json_close(&json, ']');
    vlm_json_key(&json, "weights");
    vlm_json_open(&json, '[');
    for (size_t i = 0; i < sequence->n; i++)
        add_weight(&json, sequence->weights[i]);
    vlm_json_close(&json, ']');
    add_images(&json, sequence);
    vlm_json_member_number(&json, "block", sample->block);
    vlm_json_key(&json, "modality");
    vlm_json_open(&json, '[');
    for (size_t i = 0; i < sequence->n; i++)
        vlm_json_number(&json, sequence->modality[i]);
    vlm_json_close(&json, ']');
    if (sample->phi) {
        vlm_json_key(&json, "phi");
        vlm_json_open(&json, '[');
        for (size_t i = 0; i < sequence->n; i++)
            vlm_json_signed(&json, sample->phi[i]);
        vlm_json_close(&json, ']');
        vlm_json_key(&json, "next");
        vlm_json_bool(&json, sample->next);
    }
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
}
