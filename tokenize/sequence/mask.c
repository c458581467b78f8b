/* mask.c - which spans of a document are masked, and the document with its spans moved behind it.
 *
 * The draws are those of the published code (rules in schemas/sample.md): two uniforms for one
 * mask, n * n candidates for n > 1, of which those that overlap one already taken are passed over.
 * Unlike it, an empty span is never taken: there the token at the span would be lost. Ends are
 * computed in whole numbers, so that they do not depend on the machine's floating-point unit. */
#include "base/vlm.h"

#include "tokenize/sequence/mask.h"
#include "tokenize/sequence/run.h"

#include <math.h>

__extension__ typedef unsigned __int128 wide;

uint32_t vlm_mask_count(const struct vlm_mask_rules *rules, struct vlm_random *random)
{
    if (!(rules->lambda > 0))
        return 0;
    /* By inversion; what lies above max need not be told apart. */
    const double u = vlm_random_unit(random);
    double p = exp(-rules->lambda), below = p;
    uint32_t n = 0;
    while (n < rules->max && u >= below) {
        n++;
        p = p * rules->lambda / n;
        below += p;
    }
    return VLM_MIN(VLM_MAX(n, rules->min), rules->max);
}

/* An end inside an image goes to the nearer edge, to the first of two that are equally near. */
static uint32_t to_edge(uint32_t end, const struct vlm_sequence_image *images, size_t n)
{
    size_t i = vlm_images_after(images, n, end);
    if (i == n || images[i].position >= end)
        return end;
    uint32_t behind = images[i].position + images[i].n_tokens;
    return end - images[i].position <= behind - end ? images[i].position : behind;
}

static void snap(struct vlm_span *span, enum vlm_mask_images rule,
                 const struct vlm_sequence_image *images, size_t n)
{
    size_t i = vlm_images_after(images, n, span->start);
    if (i < n && images[i].position <= span->start &&
        span->end <= images[i].position + images[i].n_tokens) {
        if (rule == VLM_MASK_IMAGES_WHOLE) {
            span->start = images[i].position;
            span->end = images[i].position + images[i].n_tokens;
        }
        return;
    }
    span->start = to_edge(span->start, images, n);
    span->end = to_edge(span->end, images, n);
}

/* Cuts the span to the image, or the stretch between images, that it covers most of. */
static void cut_to_modality(struct vlm_span *span, const struct vlm_sequence_image *images,
                            size_t n)
{
    struct vlm_span best = { span->start, span->start };
    uint32_t at = span->start;
    for (size_t i = vlm_images_after(images, n, at); at < span->end; i++) {
        uint32_t image = i < n ? VLM_MIN(images[i].position, span->end) : span->end;
        if (image > at && image - at > best.end - best.start)
            best = (struct vlm_span){ at, image };
        at = VLM_MAX(at, image);
        if (i >= n || at >= span->end)
            break;
        uint32_t behind = VLM_MIN(images[i].position + images[i].n_tokens, span->end);
        if (behind - at > best.end - best.start)
            best = (struct vlm_span){ at, behind };
        at = behind;
    }
    *span = best;
}

/* Tokens of a document in which each image is one. */
static size_t units(size_t length, const struct vlm_sequence_image *images, size_t n)
{
    for (size_t i = 0; i < n; i++)
        length -= images[i].n_tokens - 1;
    return length;
}

/* Where unit number u begins. */
static uint32_t from_unit(uint32_t u, const struct vlm_sequence_image *images, size_t n)
{
    for (size_t i = 0; i < n && images[i].position < u; i++)
        u += images[i].n_tokens - 1;
    return u;
}

/* What the rules make of a span; false: nothing is left of it. */
static bool place(struct vlm_span *span, enum vlm_mask_images rule,
                  const struct vlm_sequence_image *images, size_t n)
{
    if (span->start >= span->end)
        return false;
    if (rule == VLM_MASK_IMAGES_NOBREAK)
        cut_to_modality(span, images, n);
    else if (rule == VLM_MASK_IMAGES_UNIT)
        *span =
            (struct vlm_span){ from_unit(span->start, images, n), from_unit(span->end, images, n) };
    else if (rule != VLM_MASK_IMAGES_FREE)
        snap(span, rule, images, n);
    return span->start < span->end;
}

/* Puts the span among those taken, in order, unless it overlaps one of them. */
static bool take(struct vlm_span *spans, size_t n, struct vlm_span span)
{
    size_t i = n;
    while (i > 0 && spans[i - 1].start >= span.end)
        i--;
    if (i > 0 && spans[i - 1].end > span.start)
        return false;
    memmove(spans + i + 1, spans + i, (n - i) * sizeof(*spans));
    spans[i] = span;
    return true;
}

/* A position of a document from a uniform number of 53 bits: rounded down, or to the nearest. */
static uint32_t position(uint64_t uniform, size_t length, uint64_t half)
{
    return (uint32_t)(((wide)uniform * length + half) >> 53);
}

static uint64_t uniform_53(struct vlm_random *random)
{
    return vlm_random_next(random) >> 11;
}

static const uint64_t half_53 = (uint64_t)1 << 52;

static size_t draw_one(struct vlm_span *span, const struct vlm_mask_rules *rules,
                       struct vlm_random *random, size_t length,
                       const struct vlm_sequence_image *images, size_t n_images)
{
    uint64_t a = uniform_53(random), b = uniform_53(random);
    span->start = position(VLM_MIN(a, b), length, 0);
    span->end = position(VLM_MAX(a, b), length, half_53);
    if (rules->first_kept)
        span->start = VLM_MAX(span->start, 1);
    return place(span, rules->images, images, n_images) && !(rules->first_kept && !span->start);
}

size_t vlm_mask_draw(struct vlm_span *spans, uint32_t n, const struct vlm_mask_rules *rules,
                     struct vlm_random *random, size_t length,
                     const struct vlm_sequence_image *images, size_t n_images)
{
    VLM_BUG_IF(length > UINT32_MAX);
    if (rules->images == VLM_MASK_IMAGES_UNIT)
        length = units(length, images, n_images);
    if (!n || !length)
        return 0;
    if (n == 1)
        return draw_one(spans, rules, random, length, images, n_images);
    /* Candidate i is made of the draws 2i and 2i + 1; the last comes first. */
    const uint64_t first = random->counter, candidates = (uint64_t)n * n;
    size_t taken = 0;
    for (uint64_t i = candidates; i-- > 0 && taken < n;) {
        random->counter = first + 2 * i;
        uint32_t a = position(uniform_53(random), length, 0);
        uint32_t b = position(uniform_53(random), length, half_53);
        struct vlm_span span = { VLM_MIN(a, b), VLM_MAX(a, b) };
        if (place(&span, rules->images, images, n_images))
            taken += take(spans, taken, span);
    }
    random->counter = first + 2 * candidates;
    return taken;
}

int vlm_mask_apply(struct vlm_sequence *out, const struct vlm_sequence *in, size_t from, size_t to,
                   const struct vlm_span *spans, size_t n, const struct vlm_vocabulary *vocabulary,
                   struct vlm_err *err)
{
    VLM_BUG_IF(from > to || to > in->n || n > vocabulary->n_masks);
    bool room = vlm_sequence_reserve(out, to - from + 3 * n);
    size_t at = from;
    for (size_t i = 0; i < n && room; i++) {
        VLM_BUG_IF(from + spans[i].start < at || spans[i].start >= spans[i].end);
        room = vlm_sequence_append(out, in, at, from + spans[i].start) &&
               vlm_sequence_push(out, vocabulary->mask[i], 0);
        at = from + spans[i].end;
    }
    room = room && vlm_sequence_append(out, in, at, to);
    for (size_t i = 0; i < n && room; i++)
        room = vlm_sequence_push(out, vocabulary->mask[i], 0) &&
               vlm_sequence_append(out, in, from + spans[i].start, from + spans[i].end) &&
               vlm_sequence_push(out, vocabulary->control[VLM_CONTROL_END_OF_SPAN], 1);
    return room ? VLM_OK
                : vlm_fail(err, VLM_ENOMEM, "no memory for a sequence of %zu tokens",
                           out->n + to - from + 3 * n);
}
