/* logprobs.c - log-probabilities as /v1/completions and as /v1/chat/completions have them. */
#include "base/vlm.h"
#include "serve/api/logprobs.h"

#include "base/utf8.h"

#include <math.h>

/* Of what can never be: JSON has no infinity. */
#define LOGPROB_LEAST -9999.0

static double shown_logprob(float logprob)
{
    return isfinite(logprob) ? (double)logprob : LOGPROB_LEAST;
}

/* A token's bytes; such as are no UTF-8 by themselves as "bytes:\xe2\x82", which OpenAI writes too. */
static void write_token(struct vlm_json *json, const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    struct vlm_buffer token = { 0 }, shown = { 0 };
    vlm_vocabulary_token(&token, vocabulary, id);
    const char *text = token.size ? (const char *)token.data : "";
    if (vlm_utf8_valid_prefix(text, token.size) == token.size) {
        vlm_json_text(json, text, token.size);
    } else {
        vlm_buffer_text(&shown, "bytes:");
        for (size_t i = 0; i < token.size; i++)
            vlm_buffer_printf(&shown, "\\x%02x", token.data[i]);
        vlm_json_text(json, (const char *)shown.data, shown.size);
    }
    if (token.failed || shown.failed)
        json->out->failed = true;
    vlm_buffer_release(&token);
    vlm_buffer_release(&shown);
}

static size_t characters_of(const struct vlm_vocabulary *vocabulary, uint32_t id)
{
    struct vlm_buffer token = { 0 };
    size_t n = 0;
    vlm_vocabulary_token(&token, vocabulary, id);
    for (size_t i = 0; i < token.size; i++)
        n += (token.data[i] & 0xc0) != 0x80;
    vlm_buffer_release(&token);
    return vlm_vocabulary_is_code(vocabulary, id) ? 0 : n;
}

static size_t likely_of(const struct vlm_call *call)
{
    return call->request.logprobs > 0 ? (size_t)call->request.logprobs : 0;
}

/* The n likeliest, and behind them the drawn one unless it is among them, as OpenAI has it. An object cannot have a key
 * twice: of tokens that are written alike the likelier one is shown. */
static void write_top(struct vlm_json *json, const struct vlm_vocabulary *vocabulary,
                      const struct vlm_likely *likely, size_t n, const struct vlm_drawn *drawn)
{
    const struct vlm_likely last = { drawn->id, drawn->logprob };
    struct vlm_buffer seen = { 0 };
    struct vlm_json keys = { .out = &seen };
    vlm_json_open(json, '{');
    for (size_t i = 0; i <= n; i++) {
        const struct vlm_likely *it = i < n ? &likely[i] : &last;
        const size_t start = seen.size;
        keys.comma = false;
        write_token(&keys, vocabulary, it->id);
        vlm_buffer_byte(&seen, 0);
        bool twice = false;
        for (size_t at = 0; !seen.failed && at < start && !twice;) {
            twice = !strcmp((const char *)seen.data + at, (const char *)seen.data + start);
            at += strlen((const char *)seen.data + at) + 1;
        }
        if (twice || seen.failed)
            continue;
        if (json->comma)
            vlm_buffer_text(json->out, ", ");
        vlm_buffer_text(json->out, (const char *)seen.data + start);
        vlm_buffer_text(json->out, ": ");
        json->comma = false;
        vlm_json_real(json, shown_logprob(it->logprob));
    }
    vlm_json_close(json, '}');
    vlm_buffer_release(&seen);
}

void vlm_write_logprobs(const struct vlm_call *call, struct vlm_json *json,
                        const struct vlm_call_choice *choice, size_t from, size_t to,
                        size_t *offset)
{
    const struct vlm_vocabulary *vocabulary = call->service->choices->vocabulary;
    const size_t likely = likely_of(call);
    if (call->request.logprobs < 0) {
        vlm_json_member_null(json, "logprobs");
        return;
    }
    vlm_json_key(json, "logprobs");
    vlm_json_open(json, '{');
    vlm_json_key(json, "tokens");
    vlm_json_open(json, '[');
    for (size_t i = from; i < to; i++)
        write_token(json, vocabulary, choice->drawn[i].id);
    vlm_json_close(json, ']');
    vlm_json_key(json, "token_logprobs");
    vlm_json_open(json, '[');
    for (size_t i = from; i < to; i++)
        if (isnan(choice->drawn[i].logprob))
            vlm_json_null(json);
        else
            vlm_json_real(json, shown_logprob(choice->drawn[i].logprob));
    vlm_json_close(json, ']');
    vlm_json_key(json, "top_logprobs");
    if (likely) {
        vlm_json_open(json, '[');
        for (size_t i = from; i < to; i++)
            if (isnan(choice->drawn[i].logprob))
                vlm_json_null(json);
            else
                write_top(json, vocabulary, choice->likely + i * likely, likely, &choice->drawn[i]);
        vlm_json_close(json, ']');
    } else {
        vlm_json_null(json);
    }
    vlm_json_key(json, "text_offset");
    vlm_json_open(json, '[');
    for (size_t i = from; i < to; i++) {
        vlm_json_number(json, *offset);
        *offset += characters_of(vocabulary, choice->drawn[i].id);
    }
    vlm_json_close(json, ']');
    vlm_json_close(json, '}');
}

/* Tokens that were put in front of a prompt; of ids none. */
static size_t begin_of(const struct vlm_call *call, const struct vlm_call_choice *choice)
{
    const struct vlm_call_prompt *prompt = &call->prompts[choice->prompt];
    const struct vlm_sequence *ids = &prompt->made.sequence;
    return prompt->text && ids->n &&
           ids->ids[0] == vlm_prompt_begin_token(call->service->choices->vocabulary,
                                                 &call->service->folder->recipe);
}

size_t vlm_echo_characters(const struct vlm_call *call, const struct vlm_call_choice *choice)
{
    const struct vlm_sequence *ids = &call->prompts[choice->prompt].made.sequence;
    size_t n = 0;
    for (size_t i = begin_of(call, choice); i < ids->n; i++)
        n += characters_of(call->service->choices->vocabulary, ids->ids[i]);
    return n;
}

void vlm_write_echo_logprobs(const struct vlm_call *call, struct vlm_json *json,
                             const struct vlm_call_choice *choice, size_t n)
{
    const struct vlm_call_choice *score = &call->choices[call->n_choices + choice->prompt];
    const struct vlm_sequence *ids = &call->prompts[choice->prompt].made.sequence;
    const size_t likely = likely_of(call), skip = begin_of(call, choice);
    const size_t of_prompt = ids->n - skip, all = of_prompt + n;
    struct vlm_call_choice both = { .n_drawn = all };
    size_t offset = 0;
    both.drawn = calloc(all + 1, sizeof(*both.drawn));
    both.likely = calloc(all * likely + 1, sizeof(*both.likely));
    if (!both.drawn || !both.likely) {
        json->out->failed = true; /* the answer is given up for want of memory */
    } else {
        for (size_t i = 0; i < of_prompt; i++) {
            const size_t at = score->losses ? skip + i : 0;
            both.drawn[i] = (struct vlm_drawn){ .id = ids->ids[skip + i],
                                                .logprob = at ? -score->losses[at - 1] : NAN };
            if (at && likely)
                memcpy(both.likely + i * likely, score->likely + (at - 1) * likely,
                       likely * sizeof(*both.likely));
        }
        if (n)
            memcpy(both.drawn + of_prompt, choice->drawn, n * sizeof(*both.drawn));
        if (n && likely)
            memcpy(both.likely + of_prompt * likely, choice->likely,
                   n * likely * sizeof(*both.likely));
        vlm_write_logprobs(call, json, &both, 0, all, &offset);
    }
    free(both.drawn);
    free(both.likely);
}

static void write_entry(struct vlm_json *json, const struct vlm_vocabulary *vocabulary, uint32_t id,
                        float logprob)
{
    struct vlm_buffer token = { 0 };
    vlm_json_key(json, "token");
    write_token(json, vocabulary, id);
    vlm_json_member_real(json, "logprob", shown_logprob(logprob));
    vlm_json_key(json, "bytes");
    vlm_json_open(json, '[');
    vlm_vocabulary_token(&token, vocabulary, id);
    for (size_t i = 0; i < token.size; i++)
        vlm_json_number(json, token.data[i]);
    vlm_json_close(json, ']');
    vlm_json_member_number(json, "id", id);
    vlm_buffer_release(&token);
}

void vlm_write_probabilities(const struct vlm_call *call, struct vlm_json *json,
                             const struct vlm_call_choice *choice, size_t from, size_t to)
{
    const struct vlm_vocabulary *vocabulary = call->service->choices->vocabulary;
    const size_t likely = likely_of(call);
    vlm_json_open(json, '[');
    for (size_t i = from; i < to; i++) {
        vlm_json_open(json, '{');
        write_entry(json, vocabulary, choice->drawn[i].id, choice->drawn[i].logprob);
        vlm_json_key(json, "top_logprobs");
        vlm_json_open(json, '[');
        for (size_t k = 0; k < likely; k++) {
            const struct vlm_likely *it = &choice->likely[i * likely + k];
            vlm_json_open(json, '{');
            write_entry(json, vocabulary, it->id, it->logprob);
            vlm_json_close(json, '}');
        }
        vlm_json_close(json, ']');
        vlm_json_close(json, '}');
    }
    vlm_json_close(json, ']');
}

void vlm_write_chat_logprobs(const struct vlm_call *call, struct vlm_json *json,
                             const struct vlm_call_choice *choice, size_t from, size_t to)
{
    if (call->request.logprobs < 0) {
        vlm_json_member_null(json, "logprobs");
        return;
    }
    vlm_json_key(json, "logprobs");
    vlm_json_open(json, '{');
    vlm_json_key(json, "content");
    vlm_write_probabilities(call, json, choice, from, to);
    vlm_json_close(json, '}');
}
