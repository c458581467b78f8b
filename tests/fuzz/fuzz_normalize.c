/* fuzz_normalize.c - any bytes through any three normalizers, then BERT's cutting and WordPiece.
 *
 * Places never go back and stay inside the text; normal forms do not change twice, and a composed
 * form is the same by way of the decomposed one; the tokens of a word tile it or are one unknown
 * token. */
#include "base/vlm.h"

#include "tokenize/unicode/normalize.h"
#include "tokenize/unicode/pattern.h"
#include "tokenize/text/wordpiece.h"

enum { KINDS = VLM_NORMALIZE_NMT + 1, STEPS = 3 };

static void check(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void run(struct vlm_normal *normal, const struct vlm_normalizer *steps, size_t n_steps,
                const char *text, size_t n)
{
    struct vlm_err err = { 0 };
    check(vlm_normal_set(normal, text, n, &err) == VLM_OK, err.msg);
    int rc = vlm_normalize(normal, steps, n_steps, &err);
    check(rc == VLM_OK || rc == VLM_ELIMIT, err.msg);
    for (size_t i = 0; i < normal->n; i++) {
        check(normal->start[i] <= normal->end[i] && normal->end[i] <= n, "a place is outside");
        check(!i || (normal->start[i - 1] <= normal->start[i] &&
                     normal->end[i - 1] <= normal->end[i]),
              "places go back");
    }
}

static bool same(const struct vlm_normal *a, const struct vlm_normal *b)
{
    return a->n == b->n && (!a->n || !memcmp(a->text, b->text, a->n));
}

static void check_forms(const char *text, size_t n)
{
    for (int kind = VLM_NORMALIZE_NFC; kind <= VLM_NORMALIZE_NFKD; kind++) {
        static const enum vlm_normalizer_kind decomposed[] = { VLM_NORMALIZE_NFD, VLM_NORMALIZE_NFD,
                                                               VLM_NORMALIZE_NFKD,
                                                               VLM_NORMALIZE_NFKD };
        struct vlm_normalizer steps[] = { { .kind = decomposed[kind] },
                                          { .kind = (enum vlm_normalizer_kind)kind } };
        struct vlm_normal once = { 0 }, twice = { 0 };
        run(&once, &steps[1], 1, text, n);
        run(&twice, &steps[1], 1, once.text, once.n);
        check(same(&once, &twice), "a form changes twice");
        run(&twice, steps, 2, text, n);
        check(same(&once, &twice), "a form depends on the way");
        vlm_normal_release(&once);
        vlm_normal_release(&twice);
    }
}

static void check_words(const struct vlm_wordpiece *wordpiece, const char *text, size_t n)
{
    struct vlm_tokens tokens = { .with_spans = true };
    struct vlm_err err = { 0 };
    size_t at = 0, bytes, last = 0;
    while ((bytes = vlm_bert_word_next(text, n, &at))) {
        check(at >= last && bytes <= n - at, "a word is outside");
        tokens.n = 0;
        check(vlm_wordpiece_word(wordpiece, &tokens, text + at, bytes, &err) == VLM_OK, err.msg);
        size_t end = 0;
        for (size_t i = 0; i < tokens.n; i++) {
            check(tokens.spans[i].start == end && tokens.spans[i].end > end, "a word is not tiled");
            end = tokens.spans[i].end;
        }
        check(end == bytes, "a word is not covered");
        last = at += bytes;
    }
    vlm_tokens_release(&tokens);
}

static struct vlm_wordpiece *new_wordpiece(void)
{
    static const char *const words[] = { "[UNK]",        "a",      "b",  "ab", "##a", "##b",
                                         "##ab",         "##\xcc", "#",  "e",  "##",  "##e",
                                         "\xe4\xb8\xad", "##bba",  "abb" };
    struct vlm_bytes pieces[VLM_COUNTOF(words)];
    for (size_t i = 0; i < VLM_COUNTOF(words); i++) {
        const uint8_t *at = (const uint8_t *)words[i];
        pieces[i] = (struct vlm_bytes){ at, at + strlen(words[i]), false };
    }
    const struct vlm_wordpiece_source source = {
        .pieces = pieces, .n_pieces = VLM_COUNTOF(words), .prefix = "##", .word_max = 20
    };
    struct vlm_wordpiece *wordpiece;
    struct vlm_err err = { 0 };
    check(vlm_wordpiece_new(&wordpiece, &source, &err) == VLM_OK, err.msg);
    return wordpiece;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vlm_wordpiece *wordpiece; /* one for all runs */
    static struct vlm_pattern *pattern;
    struct vlm_err err = { 0 };
    if (!wordpiece) {
        wordpiece = new_wordpiece();
        check(vlm_pattern_new(&pattern, "a", 1, VLM_PATTERN_STRING, &err) == VLM_OK, err.msg);
    }
    if (size < 2 * STEPS)
        return 0;
    struct vlm_normalizer steps[STEPS];
    for (size_t i = 0; i < STEPS; i++)
        steps[i] = (struct vlm_normalizer){ .kind = (enum vlm_normalizer_kind)(data[2 * i] % KINDS),
                                            .flags = data[2 * i + 1],
                                            .pattern = pattern,
                                            .content = "\xcc\x81x\xe1\x85\xa1",
                                            .content_size = data[2 * i + 1] % 7 };
    const char *text = (const char *)data + 2 * STEPS;
    size_t n = size - 2 * STEPS;
    struct vlm_normal normal = { 0 };
    run(&normal, steps, STEPS, text, n);
    check_forms(text, n);
    check_words(wordpiece, text, n);
    check_words(wordpiece, normal.text, normal.n);
    vlm_normal_release(&normal);
    return 0;
}
