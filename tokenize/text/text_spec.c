/* text_spec.c - what all files of tokenizers have in common: pieces with their ids and merges of two pieces,
 * checked before anything is built of them. */
#include "base/vlm.h"

#include "base/limits.h"
#include "tokenize/unicode/split.h"
#include "tokenize/text/text_internal.h"

/* All that a file of the largest size can ask for, several times over. */
#define ARENA_MAX (512 * VLM_MIB)

void vlm_text_spec_init(struct vlm_text_spec *spec)
{
    *spec = (struct vlm_text_spec){ .word_max = 100, .unknown_id = VLM_NO_TOKEN };
    vlm_arena_init(&spec->arena, ARENA_MAX);
}

void vlm_text_spec_release(struct vlm_text_spec *spec)
{
    for (size_t i = 0; i < spec->n_normalizers; i++) {
        vlm_pattern_free(spec->normalizers[i].step.pattern);
        vlm_charsmap_free(spec->normalizers[i].step.charsmap);
    }
    for (size_t i = 0; i < spec->n_pre_tokenizers; i++)
        vlm_pattern_free(spec->pre_tokenizers[i].pattern);
    for (size_t i = 0; i < spec->n_decoders; i++)
        vlm_pattern_free(spec->decoders[i].pattern);
    for (size_t i = 0; i < VLM_COUNTOF(spec->files); i++)
        vlm_buffer_release(&spec->files[i]);
    vlm_piece_map_release(&spec->vocabulary);
    vlm_arena_release(&spec->arena);
    *spec = (struct vlm_text_spec){ 0 };
}

struct vlm_text vlm_text_spec_copy(struct vlm_text_spec *spec, const void *bytes, size_t n)
{
    return (struct vlm_text){ vlm_arena_copy(&spec->arena, bytes, n), n };
}

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

size_t vlm_text_base64(uint8_t *out, const char *text, size_t n)
{
    size_t size = 0, pad = 0;
    if (!n || n % 4)
        return SIZE_MAX;
    while (pad < 2 && text[n - 1 - pad] == '=')
        pad++;
    for (size_t i = 0; i < n; i += 4) {
        uint32_t bits = 0;
        size_t digits = i + 4 == n ? 4 - pad : 4;
        for (size_t k = 0; k < 4; k++) {
            int digit = k < digits ? digit_of(text[i + k]) : 0;
            if (digit < 0)
                return SIZE_MAX;
            bits = bits << 6 | (uint32_t)digit;
        }
        for (size_t k = 0; k + 1 < digits; k++)
            out[size++] = (uint8_t)(bits >> (16 - 8 * k));
        if (digits < 4 && bits & ((1U << 8 * (4 - digits)) - 1))
            return SIZE_MAX; /* bits that are in no byte */
    }
    return size;
}

/* An empty piece of BPE, such as the end of text of OpenAI's Whisper has, is an id that no text
 * becomes and that decodes to nothing. */
static int check_piece(const struct vlm_text_spec *spec, struct vlm_text text, const char *name,
                       struct vlm_err *err)
{
    if (!text.n && spec->model != VLM_MODEL_BPE)
        return vlm_fail(err, VLM_EFORMAT, "'%s': an empty piece in the vocabulary", name);
    if (text.n > VLM_PIECE_MAX)
        return vlm_fail(err, VLM_EFORMAT,
                        "'%s': the piece that begins '%.20s' has %zu bytes; the limit is %zu", name,
                        text.at, text.n, VLM_PIECE_MAX);
    return VLM_OK;
}

int vlm_text_spec_set_pieces(struct vlm_text_spec *spec, const struct vlm_piece_entry *entries,
                             size_t n, const char *name, struct vlm_err *err)
{
    uint64_t end = 0;
    if (!n)
        return vlm_fail(err, VLM_EFORMAT, "'%s': the vocabulary is empty", name);
    for (size_t i = 0; i < n; i++) {
        int rc = check_piece(spec, entries[i].text, name, err);
        if (rc != VLM_OK)
            return rc;
        if (entries[i].id >= VLM_PIECES_MAX)
            return vlm_fail(err, VLM_EFORMAT,
                            "'%s': id %" PRIu64 " of piece '%s' is over the limit of %d", name,
                            entries[i].id, entries[i].text.at, VLM_PIECES_MAX - 1);
        end = VLM_MAX(end, entries[i].id + 1);
    }
    spec->n_pieces = (uint32_t)end;
    spec->pieces = vlm_arena_zero(&spec->arena, end, sizeof *spec->pieces);
    if (!spec->pieces || !vlm_piece_map_init(&spec->vocabulary, n))
        return vlm_fail(err, VLM_ENOMEM, "'%s': no memory for %zu pieces", name, n);
    /* From the end, so that of equal pieces of Unigram the last one is found. */
    for (size_t i = n; i-- > 0;) {
        struct vlm_text *piece = &spec->pieces[entries[i].id];
        if (piece->at)
            return vlm_fail(err, VLM_EFORMAT,
                            "'%s': pieces '%s' and '%s' have the same id %" PRIu64, name,
                            entries[i].text.at, piece->at, entries[i].id);
        *piece = entries[i].text;
        if (vlm_piece_map_add(&spec->vocabulary, *piece, (uint32_t)entries[i].id) != VLM_NO_TOKEN &&
            spec->model != VLM_MODEL_UNIGRAM)
            return vlm_fail(err, VLM_EFORMAT, "'%s': piece '%s' stands twice in the vocabulary",
                            name, piece->at);
    }
    return VLM_OK;
}

int vlm_text_spec_set_scores(struct vlm_text_spec *spec, const struct vlm_piece_entry *entries,
                             size_t n, const char *name, struct vlm_err *err)
{
    spec->scores = vlm_arena_alloc(&spec->arena, n, sizeof *spec->scores);
    spec->score_values = vlm_arena_alloc(&spec->arena, n, sizeof *spec->score_values);
    if (!spec->scores || !spec->score_values)
        return vlm_fail(err, VLM_ENOMEM, "'%s': no memory for %zu scores", name, n);
    for (size_t i = 0; i < n; i++) {
        spec->scores[i] = entries[i].score;
        if (!vlm_unigram_score(&spec->score_values[i], entries[i].score.at, entries[i].score.n))
            return vlm_fail(err, VLM_EFORMAT, "'%s': score %.*s of piece '%s' is too large", name,
                            (int)entries[i].score.n, entries[i].score.at, entries[i].text.at);
    }
    return VLM_OK;
}

/* Pairs that were seen, as numbers; open addressing. 0 is free: the pair 0 0 is stored as all ones. */
static bool seen_before(uint64_t *seen, size_t mask, uint32_t left, uint32_t right)
{
    uint64_t key = (uint64_t)left << 32 | right;
    key = key ? key : UINT64_MAX;
    size_t i = (key * UINT64_C(0x9e3779b97f4a7c15) >> 24) & mask;
    for (; seen[i]; i = (i + 1) & mask)
        if (seen[i] == key)
            return true;
    seen[i] = key;
    return false;
}

/* The merge of two texts; joined is room for both. Returns the problem, or NULL. */
static const char *find_merge(const struct vlm_text_spec *spec, struct vlm_bpe_merge *merge,
                              const struct vlm_merge_entry *entry, char *joined)
{
    struct vlm_text left = entry->left, right = entry->right;
    size_t skip = spec->prefix.at ? spec->prefix.n : 0;
    if (!left.n || !right.n)
        return "a part is empty";
    merge->left = vlm_piece_map_find(&spec->vocabulary, left.at, left.n);
    merge->right = vlm_piece_map_find(&spec->vocabulary, right.at, right.n);
    if (merge->left == VLM_NO_TOKEN || merge->right == VLM_NO_TOKEN)
        return "a part is not in the vocabulary";
    if (right.n < skip || memcmp(right.at, spec->prefix.at ? spec->prefix.at : "", skip))
        return "the right part does not begin with continuing_subword_prefix";
    memcpy(joined, left.at, left.n);
    memcpy(joined + left.n, right.at + skip, right.n - skip);
    merge->result = vlm_piece_map_find(&spec->vocabulary, joined, left.n + right.n - skip);
    return merge->result == VLM_NO_TOKEN ? "both together are not in the vocabulary" : NULL;
}

int vlm_text_spec_set_merges(struct vlm_text_spec *spec, const struct vlm_merge_entry *entries,
                             size_t n, const char *name, const char *place, struct vlm_err *err)
{
    char joined[2 * VLM_PIECE_MAX];
    size_t mask = 16;
    int rc = VLM_OK;
    if (n > VLM_PIECES_MAX)
        return vlm_fail(err, VLM_EFORMAT, "'%s': %zu merges are over the limit of %d", name, n,
                        VLM_PIECES_MAX);
    while (mask / 2 < n)
        mask *= 2;
    uint64_t *seen = calloc(mask--, sizeof *seen);
    spec->merges = vlm_arena_alloc(&spec->arena, n, sizeof *spec->merges);
    if (!seen || !spec->merges)
        rc = vlm_fail(err, VLM_ENOMEM, "'%s': no memory for %zu merges", name, n);
    for (size_t i = 0; rc == VLM_OK && i < n; i++) {
        struct vlm_bpe_merge *merge = &spec->merges[i];
        const char *problem = find_merge(spec, merge, &entries[i], joined);
        if (!problem && seen_before(seen, mask, merge->left, merge->right))
            problem = "this pair stood before";
        if (!problem)
            continue;
        rc = vlm_fail(err, VLM_EFORMAT, "'%s', %s %zu: merge of '%.*s' and '%.*s': %s", name, place,
                      entries[i].place, (int)VLM_MIN(entries[i].left.n, (size_t)64),
                      entries[i].left.at, (int)VLM_MIN(entries[i].right.n, (size_t)64),
                      entries[i].right.at, problem);
    }
    spec->n_merges = n;
    free(seen);
    return rc;
}

int vlm_text_find_split(struct vlm_text pattern)
{
    if (vlm_text_is(pattern, VLM_TEXT_CL100K_PATTERN))
        return VLM_SPLIT_CL100K_TIKTOKEN;
    if (vlm_text_is(pattern, VLM_TEXT_O200K_PATTERN))
        return VLM_SPLIT_O200K;
    return vlm_split_find(pattern.at, pattern.n);
}
