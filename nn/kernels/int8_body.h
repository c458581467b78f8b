/* int8_body.h - products of fixed-point numbers with bytes for one kind of CPU (int8_kernels.h defines the numbers).
 *
 * A panel of A: a head of 64 bytes with what each row's sum is multiplied by, then for every CHUNK numbers of k and
 * every row its digits, lowest first, a vector of them each. k is filled up with zeros, so that what stands beside them
 * in B does not matter.
 *
 * One or two rows of A (stream) meet B as it lies: vectors along k, four rows of B at a time, each vector's lanes added
 * up at the end. Nothing but loads and multiplications is left in the loop, so that memory is what one waits for.
 * More rows (block) meet panels of B, whose vectors go across its rows: nothing to add up at the end. */
#ifndef VLM_NN_INT8_BODY_H
#define VLM_NN_INT8_BODY_H

#include "nn/kernels/gemm_body.h"
#include "nn/kernels/int8_kernels.h"

enum {
    DIGITS = INT8_UNIT == 4 ? 3 : 2,
    DIGIT_BITS = INT8_UNIT == 4 ? 8 : 12,
    DIGIT_HALF = 1 << (DIGIT_BITS - 1),
    CHUNK = LANES * INT8_UNIT,       /* numbers of k in a vector of digits */
    INT8_ROWS = LANES == 16 ? 4 : 2, /* what the registers have room for */
    INT8_GROUP = 4,                  /* rows of B that stream() takes at a time */
    INT8_STREAM = LANES == 16 ? 2 : 1,
    INT8_AHEAD = 8192, /* bytes of B that are asked for before they are needed, at least */
};

#if INT8_BYTES
typedef int8_t digit;
#else
typedef int16_t digit;
#endif
typedef digit digits_of_lanes __attribute__((vector_size(LANES * sizeof(digit))));
typedef int32_t unit_of_digits __attribute__((may_alias));
typedef int32_t four_sums __attribute__((vector_size(16)));

/* C = (sum - offset) unit. */
struct fixed_row {
    double unit;   /* 2^-e, or NaN */
    double offset; /* 128 times the sum of q where B has 128 added, else 0 */
};

enum { HEAD = 64 };

static size_t fixed_bytes(size_t width, size_t k)
{
    const size_t chunks = (k + CHUNK - 1) / CHUNK, bytes = chunks * width * DIGITS * sizeof(ivec);
    return HEAD + (bytes + 63) / 64 * 64;
}

/* ---- fixed-point numbers ---- */

VLM_INLINE float power_of_two(int n)
{
    const uint32_t word = (uint32_t)(n + 127) << 23;
    float x;
    memcpy(&x, &word, sizeof(x));
    return x;
}

/* The bits of the largest |x|; those of a NaN are above all others, and those of infinity next. */
VLM_INLINE uint32_t largest_bits(const float *x, size_t n)
{
    ivec largest = { 0 };
    for (size_t p = 0; p < n; p += LANES) {
        ivec bits = (ivec)load_up_to(x + p, n - p) & 0x7fffffff;
        ivec larger = bits > largest;
        largest = (bits & larger) | (largest & ~larger);
    }
    uint32_t most = 0;
    for (size_t i = 0; i < LANES; i++)
        most = VLM_MAX(most, (uint32_t)largest[i]);
    return most;
}

/* The integers nearest to x, |x| < 2^23, ties to even: added to 2^23, |x| has no bits left behind the point. */
VLM_INLINE ivec nearest_integers(vec x)
{
    const ivec negative = (ivec)x < (ivec){ 0 };
    const vec magnitude = (vec)((ivec)x & 0x7fffffff);
    const ivec q = (ivec)(magnitude + vec_all(8388608.0f)) & 0x7fffff;
    return (q ^ negative) - negative;
}

/* e for a row whose largest |x| has these bits: x 2^e then has the exponent of 8355711, or one less where it would be
 * larger. Denormals are multiples of 2^-149, which is as far as one has to go. */
VLM_INLINE int fixed_exponent(uint32_t most)
{
    const uint32_t largest = 0x4afefefe; /* 8355711.0f, and below the integer */
    if (most < 1 << 23)
        return 149 - (most > 0x7f7f7f);
    return 149 - (int)((most + (0x4affffff - largest)) >> 23);
}

/* One row into its place in a panel. */
VLM_INLINE void fix_row(struct fixed_row *head, char *to, size_t step, const float *x, size_t k)
{
    const uint32_t most = largest_bits(x, k);
    const int32_t finite = most < 0x7f800000 ? -1 : 0;
    const int e = fixed_exponent(most);
    /* 2^e may be no float; two factors always are. Where the first makes less of a number than it is, q is 0. */
    const vec first = vec_all(power_of_two(e / 2)), second = vec_all(power_of_two(e - e / 2));
    ivec low = { 0 }, high = { 0 }; /* of q in two parts, so that their sums fit */
    for (size_t p = 0; p < k; p += CHUNK, to += step)
        for (size_t i = 0; i < INT8_UNIT; i++) {
            const size_t at = p + i * LANES;
            const vec v = at < k ? load_up_to(x + at, k - at) : vec_zero();
            const ivec q = nearest_integers(v * first * second) & finite;
            low += q & 0xfff, high += q >> 12;
            const uvec shifted =
                (uvec)q + (DIGITS == 3 ? 0x808080 : DIGIT_HALF | DIGIT_HALF << DIGIT_BITS);
#pragma GCC unroll 3
            for (size_t d = 0; d < DIGITS; d++) {
                const uvec bits = shifted >> (uint32_t)(d * DIGIT_BITS) & (2 * DIGIT_HALF - 1);
                const digits_of_lanes part =
                    __builtin_convertvector((ivec)bits - DIGIT_HALF, digits_of_lanes);
                memcpy(to + d * sizeof(ivec) + i * sizeof(part), &part, sizeof(part));
            }
        }
    double sum = 0;
    for (size_t i = 0; i < LANES; i++)
        sum += (double)low[i] + 4096.0 * (double)high[i];
    *head = (struct fixed_row){ .unit = 1, .offset = INT8_UNIT == 4 ? 128 * sum : 0 };
    for (int i = 0; i < 2; i++) /* 2^-e in two factors again */
        head->unit *=
            finite ? (double)power_of_two(i ? -e / 2 : -e - -e / 2) : (double)__builtin_nanf("");
}

static void pack_fixed(void *panel, size_t width, const float *x, size_t rows, size_t k, size_t row)
{
    const size_t of_row = DIGITS * sizeof(ivec);
    for (size_t i = 0; i < rows; i++)
        fix_row((struct fixed_row *)panel + i, (char *)panel + HEAD + i * of_row, width * of_row,
                x + i * row, k);
}

static void pack_int8(void *panel, const int8_t *x, size_t rows, size_t k, size_t row)
{
    pack_by_k(panel, NR, x, rows, k, row, INTEGERS);
}

/* ---- sums ---- */

/* sum + w . x of the INT8_UNIT numbers in each 32 bits. */
VLM_INLINE ivec add_products(ivec sum, ivec w, ivec x)
{
#if defined(__AVX512VNNI__)
    return (ivec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x);
#elif defined(__AVX512F__)
    return sum + (ivec)_mm512_madd_epi16((__m512i)w, (__m512i)x);
#elif defined(__AVX2__) && defined(__FMA__)
    return sum + (ivec)_mm256_madd_epi16((__m256i)w, (__m256i)x);
#else
    const ivec even = ((ivec)((uvec)w << 16) >> 16) * ((ivec)((uvec)x << 16) >> 16);
    return sum + even + (w >> 16) * (x >> 16);
#endif
}

/* total += what the digits' sums say together, for n columns `step` sums apart in each digit. */
VLM_INLINE void put_together(double *total, const int32_t *sum, size_t step, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        double high = DIGITS == 3 ? 65536.0 * (double)sum[2 * step + j] : 0;
        total[j] += high + (double)(1 << DIGIT_BITS) * (double)sum[step + j] + (double)sum[j];
    }
}

VLM_INLINE void int8_finish(float *c, const double *total, const struct fixed_row *row, size_t n)
{
    for (size_t j = 0; j < n; j++)
        c[j] = (float)((total[j] - row->offset) * row->unit);
}

/* ---- panels ---- */

/* `rows` rows of a panel of A, a constant where this is called, times a panel of B. */
VLM_INLINE void int8_tile(const char *panel, const char *b, size_t k, float *c, size_t c_row,
                          size_t cols, size_t rows)
{
    const struct fixed_row *head = (const struct fixed_row *)panel;
    const char *a = panel + HEAD;
    double total[INT8_ROWS][NR] = { { 0 } };
    for (size_t p = 0; p < k; p += VLM_INT8_BLOCK) {
        size_t units = (VLM_MIN(k - p, (size_t)VLM_INT8_BLOCK) + INT8_UNIT - 1) / INT8_UNIT;
        ivec sum[INT8_ROWS][DIGITS][2];
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 3
            for (size_t d = 0; d < DIGITS; d++)
                sum[r][d][0] = sum[r][d][1] = (ivec){ 0 };
        for (; units; a += INT8_ROWS * DIGITS * sizeof(ivec)) {
            const size_t here = VLM_MIN(units, (size_t)LANES);
            const unit_of_digits *x = (const unit_of_digits *)a;
            for (size_t u = 0; u < here; u++, x++, b += 2 * sizeof(ivec)) {
                const ivec b0 = (ivec)vec_load((const float *)b);
                const ivec b1 = (ivec)vec_load((const float *)b + LANES);
#pragma GCC unroll 4
                for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 3
                    for (size_t d = 0; d < DIGITS; d++) {
                        const ivec all = (ivec){ 0 } + x[(r * DIGITS + d) * LANES];
                        sum[r][d][0] = add_products(sum[r][d][0], b0, all);
                        sum[r][d][1] = add_products(sum[r][d][1], b1, all);
                    }
            }
            units -= here;
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            int32_t sums[DIGITS * NR];
#pragma GCC unroll 3
            for (size_t d = 0; d < DIGITS; d++) {
                memcpy(sums + d * NR, &sum[r][d][0], sizeof(ivec));
                memcpy(sums + d * NR + LANES, &sum[r][d][1], sizeof(ivec));
            }
            put_together(total[r], sums, NR, NR);
        }
    }
    for (size_t r = 0; r < rows; r++)
        if (cols == NR)
            int8_finish(c + r * c_row, total[r], head + r, NR);
        else
            int8_finish(c + r * c_row, total[r], head + r, cols);
}

static void int8_block(const struct vlm_gemm_block *block)
{
    for (size_t i = 0; i < block->m; i += INT8_ROWS) {
        const char *a = (const char *)block->a + i / INT8_ROWS * block->a_step;
        float *c = block->c + i * block->c_row;
        switch (VLM_MIN(block->m - i, (size_t)INT8_ROWS)) {
        case 1:
            int8_tile(a, block->b, block->k, c, block->c_row, block->n, 1);
            break;
        case 2:
            int8_tile(a, block->b, block->k, c, block->c_row, block->n, 2);
            break;
        case 3:
            int8_tile(a, block->b, block->k, c, block->c_row, block->n, VLM_MIN(INT8_ROWS, 3));
            break;
        default:
            int8_tile(a, block->b, block->k, c, block->c_row, block->n, INT8_ROWS);
            break;
        }
    }
}

/* ---- few rows of A, B as it lies ---- */

/* A vector of CHUNK numbers of B, as add_products() wants them. */
VLM_INLINE ivec load_bytes(const int8_t *x)
{
#if INT8_BYTES
    return (ivec)vec_load((const float *)x) ^ (int32_t)0x80808080;
#elif defined(__AVX512F__)
    return (ivec)_mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)x));
#elif defined(__AVX2__) && defined(__FMA__)
    return (ivec)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)x));
#else
    int16_t wide[CHUNK];
    for (size_t i = 0; i < CHUNK; i++)
        wide[i] = x[i];
    return (ivec)vec_load((const float *)wide);
#endif
}

/* The sums of the lanes of each of four vectors. */
VLM_INLINE four_sums lane_sums(const ivec v[4])
{
    vec t[4] = { (vec)v[0], (vec)v[1], (vec)v[2], (vec)v[3] };
    transpose_pieces(t);
    const ivec sum = (ivec)t[0] + (ivec)t[1] + (ivec)t[2] + (ivec)t[3];
    four_sums piece[LANES / 4];
    memcpy(piece, &sum, sizeof(sum));
    for (size_t i = 1; i < LANES / 4; i++)
        piece[0] += piece[i];
    return piece[0];
}

/* `rows` rows of a panel of A times INT8_GROUP rows of B, `step` bytes apart. `ahead` is what to ask memory for
 * meanwhile: as many bytes as are read, in the order in which they lie, which is what memory likes best. */
VLM_INLINE void int8_group(double total[][INT8_GROUP], const char *a, const int8_t *x, size_t step,
                           const int8_t *ahead, size_t k, size_t rows, size_t width)
{
    while (k) {
        const size_t here = VLM_MIN(k, (size_t)VLM_INT8_BLOCK);
        ivec sum[INT8_STREAM][DIGITS][INT8_GROUP];
#pragma GCC unroll 2
        for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 3
            for (size_t d = 0; d < DIGITS; d++)
#pragma GCC unroll 4
                for (size_t g = 0; g < INT8_GROUP; g++)
                    sum[r][d][g] = (ivec){ 0 };
        for (size_t p = 0; p < here; p += CHUNK, a += width * DIGITS * sizeof(ivec)) {
            int8_t end[INT8_GROUP][CHUNK];
            const int8_t *from = x + p;
            size_t apart = step;
            if (here - p < CHUNK) {
                memset(end, 0, sizeof(end));
                for (size_t g = 0; g < INT8_GROUP; g++)
                    memcpy(end[g], from + g * step, here - p);
                from = end[0], apart = CHUNK;
            }
#pragma GCC unroll 4
            for (size_t i = 0; i < INT8_GROUP * CHUNK; i += 64)
                __builtin_prefetch(ahead + INT8_GROUP * p + i, 0, 3);
#pragma GCC unroll 4
            for (size_t g = 0; g < INT8_GROUP; g++) {
                const ivec w = load_bytes(from + g * apart);
#pragma GCC unroll 2
                for (size_t r = 0; r < rows; r++)
#pragma GCC unroll 3
                    for (size_t d = 0; d < DIGITS; d++)
                        sum[r][d][g] = add_products(
                            sum[r][d][g], w,
                            (ivec)vec_load((const float *)a + (r * DIGITS + d) * LANES));
            }
        }
#pragma GCC unroll 2
        for (size_t r = 0; r < rows; r++) {
            int32_t sums[DIGITS * INT8_GROUP];
#pragma GCC unroll 3
            for (size_t d = 0; d < DIGITS; d++) {
                const four_sums four = lane_sums(sum[r][d]);
                memcpy(sums + d * INT8_GROUP, &four, sizeof(four));
            }
            put_together(total[r], sums, INT8_GROUP, INT8_GROUP);
        }
        k -= here, x += here, ahead += INT8_GROUP * here;
    }
}

/* One group of rows of B against all rows of A; `x` may be a copy of what is at column j. */
VLM_INLINE void int8_columns(const struct vlm_gemm_stream *stream, size_t j, size_t cols,
                             const int8_t *x, size_t step)
{
    const size_t width = stream->a_width;
    const int8_t *ahead = (const int8_t *)stream->b + j * stream->b_row +
                          VLM_MAX(INT8_GROUP * stream->b_row, (size_t)INT8_AHEAD);
    for (size_t i = 0; i < stream->m; i += width) {
        const char *panel = (const char *)stream->a + i / width * stream->a_step;
        const struct fixed_row *head = (const struct fixed_row *)panel;
        const size_t rows = VLM_MIN(stream->m - i, width);
        double total[INT8_STREAM][INT8_GROUP] = { { 0 } };
        if (rows == 1)
            int8_group(total, panel + HEAD, x, step, ahead, stream->k, 1, width);
        else
            int8_group(total, panel + HEAD, x, step, ahead, stream->k, INT8_STREAM, width);
        for (size_t r = 0; r < rows; r++)
            int8_finish(stream->c + (i + r) * stream->c_row + j, total[r], head + r, cols);
    }
}

static void int8_stream(const struct vlm_gemm_stream *stream)
{
    const int8_t *b = stream->b;
    size_t j = 0;
    for (; j + INT8_GROUP <= stream->n; j += INT8_GROUP)
        int8_columns(stream, j, INT8_GROUP, b + j * stream->b_row, stream->b_row);
    for (; j < stream->n; j++) /* the last ones four times themselves */
        int8_columns(stream, j, 1, b + j * stream->b_row, 0);
}

static const struct vlm_int8_kernels int8_kernels = {
    .rows = INT8_ROWS,
    .stream_rows = INT8_STREAM,
    .stream_most = INT8_ROWS,
    .unit = INT8_UNIT,
    .fixed_bytes = fixed_bytes,
    .pack_fixed = pack_fixed,
    .pack = pack_int8,
    .block = int8_block,
    .stream = int8_stream,
};

#endif
