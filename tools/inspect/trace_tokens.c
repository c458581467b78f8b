/* trace_tokens.c - places of tokens.
 *
 * A sequence counts its bytes in a rendering that has <image:N> where cat prints codes (or <image>), so places behind
 * an image are shifted by the difference of the two. */
#include "base/vlm.h"

#include "tools/inspect/trace_tokens.h"

#include "base/array.h"
#include "tokenize/html/layout.h"

/* Tokens around one that are tried: by one at first, then in larger steps. */
enum { CONTEXT_MAX = 1024, CONTEXT_FINE = 16, CONTEXT_STEP = 16 };

int vlm_trace_tokens_open(struct vlm_trace_tokens *tokens, const char *tokenizer, uint32_t n_codes,
                          struct vlm_err *err)
{
    const struct vlm_vocabulary_options options = { .n_codes = n_codes };
    int rc = vlm_text_tokenizer_open(&tokens->tokenizer, tokenizer, err);
    if (rc == VLM_OK)
        rc = vlm_vocabulary_init(&tokens->vocabulary, tokens->tokenizer, &options, err);
    if (rc == VLM_OK)
        rc = vlm_sequencer_new(&tokens->sequencer, &tokens->vocabulary, err);
    if (rc == VLM_OK)
        rc = vlm_text_encoder_new(&tokens->encoder, tokens->tokenizer, err);
    return rc;
}

void vlm_trace_tokens_release(struct vlm_trace_tokens *tokens)
{
    vlm_sequence_release(&tokens->sequence);
    vlm_tokens_release(&tokens->tokens);
    vlm_buffer_release(&tokens->bytes);
    vlm_text_encoder_free(tokens->encoder);
    vlm_sequencer_free(tokens->sequencer);
    vlm_text_tokenizer_close(tokens->tokenizer);
    free(tokens->shift);
    *tokens = (struct vlm_trace_tokens){ 0 };
}

static uint32_t digits(uint32_t number)
{
    uint32_t n = 1;
    for (; number >= 10; number /= 10)
        n++;
    return n;
}

/* Bytes that stand for an image in what cat prints. */
static int64_t image_bytes(const struct vlm_document *document, uint32_t image,
                           enum vlm_render form)
{
    const uint16_t *codes = document->images[image].codes;
    int64_t n = VLM_IMAGE_CODES - 1;
    if (form != VLM_RENDER_CM3 && form != VLM_RENDER_HTLM)
        return (int64_t)strlen("<image>");
    for (size_t k = 0; k < VLM_IMAGE_CODES; k++)
        n += digits(codes[k]);
    return n;
}

int vlm_trace_tokens_render(struct vlm_trace_tokens *tokens, const struct vlm_document *document,
                            enum vlm_render form, unsigned flags, struct vlm_err *err)
{
    struct vlm_sequence *sequence = &tokens->sequence;
    int rc = vlm_sequence_render(tokens->sequencer, sequence, document, form, flags, err);
    if (rc != VLM_OK)
        return rc;
    if (!vlm_array_reserve(&tokens->shift, &tokens->shift_capacity, 0, sequence->n_images,
                           sizeof(*tokens->shift)))
        return vlm_fail(err, VLM_ENOMEM, "no memory for the %zu images of a document",
                        sequence->n_images);
    int64_t sum = 0;
    for (size_t i = 0; i < sequence->n_images; i++) {
        uint32_t image = sequence->images[i].image;
        sum += image_bytes(document, image, form) - (int64_t)strlen("<image:>") - digits(image);
        tokens->shift[i] = sum;
    }
    return VLM_OK;
}

/* How many images end at or before token i. */
static size_t images_before(const struct vlm_sequence *sequence, size_t i)
{
    size_t low = 0, high = sequence->n_images;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct vlm_sequence_image *image = &sequence->images[middle];
        if ((size_t)image->position + image->n_tokens <= i)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Where token i begins in what cat prints. */
static uint32_t token_start(const struct vlm_trace_tokens *tokens, size_t i)
{
    size_t n = images_before(&tokens->sequence, i);
    return (uint32_t)((int64_t)tokens->sequence.start[i] + (n ? tokens->shift[n - 1] : 0));
}

/* Where it ends: behind its bytes, else, but for white space, where the next one begins that begins elsewhere. */
static uint32_t token_end(const struct vlm_trace_tokens *tokens, const struct vlm_trace *trace,
                          size_t i)
{
    const struct vlm_sequence *sequence = &tokens->sequence;
    const uint32_t id = sequence->ids[i], start = token_start(tokens, i);
    if (vlm_vocabulary_is_control(&tokens->vocabulary, id)) {
        const char *close = memchr(trace->rendering + start, '>', trace->size - start);
        return close ? (uint32_t)(close + 1 - trace->rendering) : trace->size;
    }
    if (vlm_text_tokenizer_is_bytewise(tokens->tokenizer)) {
        struct vlm_bytes piece = vlm_text_tokenizer_piece(tokens->tokenizer, id);
        return (uint32_t)VLM_MIN(start + vlm_bytes_left(&piece), (size_t)trace->size);
    }
    uint32_t end = trace->size;
    for (size_t k = i + 1; k < sequence->n && sequence->start[k] != VLM_NOWHERE; k++)
        if (token_start(tokens, k) > start) {
            end = token_start(tokens, k);
            break;
        }
    while (end > start + 1 && vlm_space_at(trace->rendering + end - 1, 1))
        end--;
    return end;
}

struct vlm_place vlm_trace_token(const struct vlm_trace_tokens *tokens,
                                 const struct vlm_trace *trace, size_t i, int *code)
{
    const struct vlm_sequence *sequence = &tokens->sequence;
    *code = -1;
    if (sequence->start[i] == VLM_NOWHERE)
        return vlm_trace_end(trace);
    uint32_t start = token_start(tokens, i);
    if (start >= trace->size)
        return vlm_trace_end(trace);
    if (sequence->modality[i] != VLM_MODALITY_IMAGE) /* a piece may be empty */
        return vlm_trace_range(trace, start, VLM_MAX(token_end(tokens, trace, i), start + 1));
    const struct vlm_sequence_image *image = &sequence->images[images_before(sequence, i)];
    *code = (int)(i - image->position);
    for (int k = 0; k < *code; k++) {
        const char *space = memchr(trace->rendering + start, ' ', trace->size - start);
        VLM_BUG_IF(!space);
        start = (uint32_t)(space + 1 - trace->rendering);
    }
    return vlm_trace_byte(trace, start);
}

void vlm_trace_json_token(struct vlm_json *json, const struct vlm_trace_tokens *tokens, size_t i)
{
    const struct vlm_sequence *sequence = &tokens->sequence;
    struct vlm_buffer text = { 0 };
    vlm_json_key(json, "token");
    vlm_json_open(json, '{');
    vlm_json_member_number(json, "position", i);
    vlm_json_member_number(json, "id", sequence->ids[i]);
    vlm_json_key(json, "text");
    if (vlm_vocabulary_token(&text, &tokens->vocabulary, sequence->ids[i]))
        vlm_json_text(json, text.size ? (const char *)text.data : "", text.size);
    else
        vlm_json_null(json);
    vlm_json_member_string(json, "modality", vlm_modality_name(sequence->modality[i]));
    vlm_json_close(json, '}');
    json->out->failed |= text.failed;
    vlm_buffer_release(&text);
}

/* Whether the bytes are tokens first to last. */
static int compare(struct vlm_trace_tokens *tokens, const char *bytes, size_t size, size_t first,
                   size_t last, bool *same, struct vlm_err *err)
{
    const size_t n = last - first + 1;
    tokens->tokens.n = 0;
    int rc = vlm_text_encode(tokens->encoder, &tokens->tokens, bytes, size, 0, err);
    *same = rc == VLM_OK && tokens->tokens.n == n &&
            !memcmp(tokens->tokens.ids, tokens->sequence.ids + first, n * sizeof(uint32_t));
    return rc;
}

/* Appends the page's bytes for bytes [start, end) of the rendering, without what stands between them in the page
 * (words go on behind "<b>"), and widens place. False when the page writes some of them otherwise. */
static bool gather(struct vlm_buffer *out, const struct vlm_trace *trace, uint32_t start,
                   uint32_t end, struct vlm_place *place)
{
    const struct vlm_origin *origin = trace->origin;
    for (size_t i = vlm_origin_find(origin, start); i < origin->n; i++) {
        const struct vlm_origin_run *run = &origin->runs[i];
        const uint32_t from = VLM_MAX(start, run->start);
        const uint32_t to = VLM_MIN(end, run->start + run->length);
        if (run->start >= end)
            break;
        struct vlm_place piece = vlm_trace_range(trace, from, to);
        if (!piece.verbatim || piece.made || piece.codes)
            return false;
        vlm_buffer_add(out, trace->page->text + piece.page.start, to - from);
        place->page.start = VLM_MIN(place->page.start, piece.page.start);
        place->page.end = VLM_MAX(place->page.end, piece.page.end);
    }
    return !out->failed;
}

/* Whether the page has the bytes of tokens first to last, in tokens->bytes then; place gets where. */
static bool is_piece(struct vlm_trace_tokens *tokens, const struct vlm_trace *trace, size_t first,
                     size_t last, struct vlm_place *place)
{
    int code;
    const struct vlm_sequence *sequence = &tokens->sequence;
    if (sequence->start[first] == VLM_NOWHERE || sequence->start[last] == VLM_NOWHERE ||
        sequence->modality[first] != sequence->modality[last])
        return false;
    const uint32_t end = vlm_trace_token(tokens, trace, last, &code).end;
    place->page = (struct vlm_page_range){ UINT32_MAX, 0 };
    vlm_buffer_reset(&tokens->bytes);
    return gather(&tokens->bytes, trace, token_start(tokens, first), end, place);
}

/* Widens [i, i] to the left and to the right until the page's bytes give these tokens. */
static int find_context(struct vlm_trace_tokens *tokens, const struct vlm_trace *trace, size_t i,
                        size_t *first, size_t *last, struct vlm_place *place, bool *same,
                        struct vlm_err *err)
{
    bool left = true, right = true;
    int rc = VLM_OK;
    *first = *last = i;
    *same = false;
    for (size_t n = 1; n < CONTEXT_MAX && (left || right) && rc == VLM_OK && !*same; n++) {
        if (left && (n % 2 || !right)) {
            left = *first > 0 && is_piece(tokens, trace, *first - 1, *last, place);
            *first -= left;
        } else {
            right =
                *last + 1 < tokens->sequence.n && is_piece(tokens, trace, *first, *last + 1, place);
            *last += right;
        }
        bool due = n <= CONTEXT_FINE || n % CONTEXT_STEP == 0 || !(left || right);
        if (due && *first < *last && is_piece(tokens, trace, *first, *last, place))
            rc = compare(tokens, (const char *)tokens->bytes.data, tokens->bytes.size, *first,
                         *last, same, err);
    }
    return rc;
}

int vlm_trace_json_ids(struct vlm_json *json, struct vlm_trace_tokens *tokens,
                       const struct vlm_trace *trace, const struct vlm_place *place, size_t i,
                       struct vlm_err *err)
{
    bool same = false;
    if (!place->has_page || place->made || place->codes)
        return VLM_OK;
    int rc = compare(tokens, trace->page->text + place->page.start,
                     place->page.end - place->page.start, i, i, &same, err);
    vlm_json_key(json, "ids");
    vlm_json_open(json, '[');
    for (size_t k = 0; k < tokens->tokens.n; k++)
        vlm_json_number(json, tokens->tokens.ids[k]);
    vlm_json_close(json, ']');
    size_t first = i, last = i;
    struct vlm_place around;
    if (rc == VLM_OK && !same && place->verbatim)
        rc = find_context(tokens, trace, i, &first, &last, &around, &same, err);
    if (same && last > first) {
        vlm_json_key(json, "context");
        vlm_json_open(json, '{');
        vlm_json_member_number(json, "first", first);
        vlm_json_member_number(json, "last", last);
        vlm_json_member_number(json, "start", around.page.start);
        vlm_json_member_number(json, "end", around.page.end);
        vlm_json_close(json, '}');
    } else if (!same && place->verbatim) {
        vlm_json_key(json, "joined");
        vlm_json_bool(json, true);
    }
    vlm_json_key(json, "same");
    vlm_json_bool(json, same);
    return rc;
}
