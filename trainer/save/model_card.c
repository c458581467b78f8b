/* model_card.c - README.md as model hubs show it (YAML in front, Markdown behind), and the same facts as
 * provenance.json for programs. */
#include "base/vlm.h"

#include "trainer/save/model_card.h"

#include "base/file.h"
#include "base/json.h"

/* ---- what both need ---- */

/* It as a JSON value, which between double quotes is one of YAML too. */
static void json_name(struct vlm_json *json, const char *path)
{
    size_t n;
    const char *name = vlm_path_last(path, &n);
    vlm_json_text(json, name, n);
}

static bool has_images(const struct vlm_model_card *card)
{
    return card->image_tokenizer && *card->image_tokenizer;
}

/* Words of https://huggingface.co/docs/hub/models-widgets. */
static const char *pipeline(const struct vlm_model_card *card)
{
    if (card->recipe->method == VLM_GENERATE_CAPTION)
        return "image-to-text";
    return has_images(card) ? "any-to-any" : "text-generation";
}

/* ---- README.md ---- */

/* Text in a line of Markdown between backticks: nothing in it ends them, the line or a table's cell. */
static void code(struct vlm_buffer *out, const char *text, size_t n)
{
    vlm_buffer_byte(out, '`');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        vlm_buffer_byte(out, c < 0x20 || c == 0x7f || c == '`' || c == '|' ? '_' : c);
    }
    vlm_buffer_byte(out, '`');
}

static void code_name(struct vlm_buffer *out, const char *path)
{
    size_t n;
    const char *name = vlm_path_last(path, &n);
    code(out, name, n);
}

/* A value that is a line of its own. */
static void yaml_name(struct vlm_buffer *out, const char *path)
{
    json_name(&(struct vlm_json){ .out = out }, path);
}

static void write_front_matter(struct vlm_buffer *out, const struct vlm_model_card *card)
{
    struct vlm_json json = { .out = out };
    vlm_buffer_text(out, "---\nlicense: ");
    if (card->license)
        vlm_json_string(&json, card->license);
    else
        vlm_buffer_text(out, "unknown");
    vlm_buffer_printf(out, "\npipeline_tag: %s\ntags:\n- vlm\n- ", pipeline(card));
    yaml_name(out, card->recipe->name);
    if (card->n_sources)
        vlm_buffer_text(out, "\ndatasets:");
    for (size_t i = 0; i < card->n_sources; i++) {
        vlm_buffer_text(out, "\n- ");
        yaml_name(out, card->source[i]->folder);
    }
    vlm_buffer_text(out, "\n---\n\n");
}

static void write_head(struct vlm_buffer *out, const struct vlm_model_card *card)
{
    const struct vlm_model_config *config = &card->model->config;
    vlm_buffer_text(out, "# ");
    code_name(out, card->name);
    vlm_buffer_printf(out,
                      "\n\nA model of %zu parameters, trained from shards of web pages by vlm %s "
                      "with the recipe ",
                      card->model->count, VLM_VERSION);
    code_name(out, card->recipe->name);
    vlm_buffer_printf(
        out,
        ": %s, %zu layer%s of width %zu, %zu heads (%zu of keys and values), feed-forward "
        "width %zu, %zu tokens of context, %zu ids.",
        vlm_model_architecture(&card->model->config), config->layers,
        config->layers == 1 ? "" : "s", config->sizes.width, config->sizes.heads,
        config->sizes.kv_heads, config->sizes.hidden, config->context, config->vocabulary);
    if (has_images(card)) {
        vlm_buffer_text(out, " Pictures are 256 codes of the tokenizer ");
        code(out, card->image_tokenizer, strlen(card->image_tokenizer));
        vlm_buffer_printf(out, " with a codebook of %" PRIu64 ".", card->codes);
    }
    vlm_buffer_text(out, "\n\n");
}

static void write_data(struct vlm_buffer *out, const struct vlm_model_card *card)
{
    vlm_buffer_text(
        out, "## What it learned from\n\n| shard set | documents | share | generation | SHA-256 "
             "|\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < card->n_sources; i++) {
        const struct vlm_source_info *source = card->source[i];
        char hex[2 * VLM_SHA256_SIZE + 1];
        vlm_buffer_text(out, "| ");
        code_name(out, source->folder);
        vlm_buffer_printf(out, " | %" PRIu64 " | %.4g | %" PRIu64 " | `%s` |\n", source->documents,
                          source->weight, source->generation,
                          vlm_hex(hex, source->digest, VLM_SHA256_SIZE));
    }
    vlm_buffer_text(out, "\nThe pages are as a crawler found them. Whose rights they touch was not "
                         "looked into.\n\n");
}

static void write_training(struct vlm_buffer *out, const struct vlm_model_card *card)
{
    vlm_buffer_printf(
        out,
        "## How\n\n%" PRIu64 " steps of up to %" PRIu64 " tokens, %" PRIu64
        " of them updates; %" PRIu64 " tokens and %" PRIu64
        " documents seen. AdamW, learning rate %.6g at its peak, schedule `%s`, %s, seed %" PRIu64
        "%s%s%s. Text tokenizer: ",
        card->steps, card->batch_tokens, card->updates, card->tokens, card->documents,
        card->learning_rate, card->schedule, card->precision, card->seed,
        card->preset ? ", preset `" : "", card->preset ? card->preset : "",
        card->preset ? "`" : "");
    code(out, card->tokenizer, strlen(card->tokenizer));
    vlm_buffer_text(out, ". The whole recipe is `recipe.ini`; these facts for programs are "
                         "`provenance.json`.\n\n");
}

static void write_validation(struct vlm_buffer *out, const struct vlm_model_card *card)
{
    struct vlm_json json = { .out = out };
    vlm_buffer_text(out, "## How well it predicts\n\n");
    if (!card->validation) {
        vlm_buffer_text(out, "It was not measured on documents that were held out.\n\n");
        return;
    }
    vlm_buffer_printf(
        out,
        "Documents that were held out by their ids, at step %" PRIu64
        " (losses in nats a token, `null` where nothing was to be predicted):\n\n```\n",
        card->validation_step);
    vlm_json_open(&json, '{');
    vlm_evaluation_sums_write(&json, card->validation);
    vlm_json_close(&json, '}');
    vlm_buffer_text(out, "\n```\n\n");
}

/* To try it: prompts that begin as what it has learned from. */
static void write_commands(struct vlm_buffer *out, const struct vlm_model_card *card)
{
    vlm_buffer_text(out, "## How to use it\n\n```\n");
    if (card->recipe->method == VLM_GENERATE_INFILL)
        vlm_buffer_text(out, "vlm-generate -m . --text '<html lang=\"en\"><body><p>' --seed 1\n");
    else if (card->recipe->method == VLM_GENERATE_CONTINUE)
        vlm_buffer_text(out, "echo 'A page about' | vlm-generate -m . --prompt - --seed 1\n");
    if (card->recipe->method != VLM_GENERATE_CONTINUE && has_images(card))
        vlm_buffer_text(out, "vlm-generate -m . photo.jpg --seed 1\n");
    vlm_buffer_text(out, "vlm-serve -m .\n```\n\n");
}

static void write_use(struct vlm_buffer *out, const struct vlm_model_card *card)
{
    write_commands(out, card);
    if (!strcmp(vlm_model_architecture(&card->model->config), "VlmForConditionalGeneration")) {
        vlm_buffer_text(
            out, "`transformers` has no class for it; the tensors are plain safetensors.\n\n");
        return;
    }
    vlm_buffer_text(out,
                    "The folder opens in `transformers` too:\n\n```python\n"
                    "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
                    "model = AutoModelForCausalLM.from_pretrained(\".\")\n"
                    "tokenizer = AutoTokenizer.from_pretrained(\".\")\n"
                    "ids = tokenizer(\"A page about\", return_tensors=\"pt\").input_ids\n"
                    "print(tokenizer.decode(model.generate(ids, max_new_tokens=40)[0]))\n```\n\n");
    if (has_images(card))
        vlm_buffer_text(out, "Ids behind the text are codes of pictures (`vocabulary_map` in "
                             "`config.json`); `vlm-generate` draws them.\n\n");
}

static void write_limits(struct vlm_buffer *out, const struct vlm_model_card *card)
{
    vlm_buffer_printf(
        out,
        "## Limits\n\nIt continues what web pages look like: it states false things as fluently as "
        "true ones, "
        "repeats what it was shown, prejudice and private details included, and was neither tuned "
        "to "
        "follow instructions nor filtered for harm%s.\n"
        "It must not be used to identify or judge people, to advise on health, law, money or "
        "safety, "
        "or to publish what it makes as the word of a person or the picture of something that "
        "happened.\n",
        has_images(card) ? "; pictures pass through 256 codes, in which faces, text and fine "
                           "detail do not survive"
                         : "");
}

void vlm_model_card_write(struct vlm_buffer *out, const struct vlm_model_card *card)
{
    write_front_matter(out, card);
    write_head(out, card);
    write_data(out, card);
    write_training(out, card);
    write_validation(out, card);
    write_use(out, card);
    write_limits(out, card);
}

/* ---- provenance.json ---- */

static void write_model(struct vlm_json *json, const struct vlm_model_card *card)
{
    const struct vlm_model_config *config = &card->model->config;
    vlm_json_key(json, "model");
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "architecture", vlm_model_architecture(&card->model->config));
    vlm_json_member_number(json, "parameters", card->model->count);
    vlm_json_member_number(json, "layers", config->layers);
    vlm_json_member_number(json, "width", config->sizes.width);
    vlm_json_member_number(json, "heads", config->sizes.heads);
    vlm_json_member_number(json, "kv_heads", config->sizes.kv_heads);
    vlm_json_member_number(json, "hidden", config->sizes.hidden);
    vlm_json_member_number(json, "context", config->context);
    vlm_json_member_number(json, "vocabulary", config->vocabulary);
    vlm_json_close(json, '}');
}

static void write_sources(struct vlm_json *json, const struct vlm_model_card *card)
{
    vlm_json_key(json, "data");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < card->n_sources; i++) {
        const struct vlm_source_info *source = card->source[i];
        vlm_json_open(json, '{');
        vlm_json_key(json, "name");
        json_name(json, source->folder);
        vlm_json_member_number(json, "documents", source->documents);
        vlm_json_member_real(json, "weight", source->weight);
        vlm_json_member_number(json, "generation", source->generation);
        vlm_json_key(json, "sha256");
        vlm_json_hex(json, source->digest, VLM_SHA256_SIZE);
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, ']');
}

static void write_run(struct vlm_json *json, const struct vlm_model_card *card)
{
    vlm_json_key(json, "training");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "steps", card->steps);
    vlm_json_member_number(json, "updates", card->updates);
    vlm_json_member_number(json, "tokens", card->tokens);
    vlm_json_member_number(json, "documents", card->documents);
    vlm_json_member_number(json, "batch_tokens", card->batch_tokens);
    vlm_json_member_real(json, "learning_rate", card->learning_rate);
    vlm_json_member_string(json, "schedule", card->schedule);
    vlm_json_member_string(json, "precision", card->precision);
    vlm_json_member_number(json, "seed", card->seed);
    vlm_json_close(json, '}');
}

void vlm_provenance_write(struct vlm_buffer *out, const struct vlm_model_card *card)
{
    struct vlm_json json = { .out = out };
    vlm_json_open(&json, '{');
    vlm_json_member_string(&json, "format", "vlm-provenance 1");
    vlm_json_member_string(&json, "version", VLM_VERSION);
    vlm_json_key(&json, "recipe");
    json_name(&json, card->recipe->name);
    vlm_json_member_string(&json, "preset", card->preset);
    write_model(&json, card);
    write_sources(&json, card);
    vlm_json_member_string(&json, "tokenizer", card->tokenizer);
    vlm_json_member_string(&json, "image_tokenizer",
                           has_images(card) ? card->image_tokenizer : NULL);
    write_run(&json, card);
    vlm_json_key(&json, "validation");
    if (card->validation) {
        vlm_json_open(&json, '{');
        vlm_json_member_number(&json, "step", card->validation_step);
        vlm_evaluation_sums_write(&json, card->validation);
        vlm_json_close(&json, '}');
    } else {
        vlm_json_null(&json);
    }
    vlm_json_close(&json, '}');
    vlm_buffer_byte(out, '\n');
}
