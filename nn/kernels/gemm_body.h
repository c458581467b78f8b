/* gemm_body.h - products of packed panels for one kind of CPU (gemm_kernels.h says what they do).
 *
 * A tile of C of MR rows and two vectors of columns stays in registers while k runs: per p two loads
 * of B, MR broadcasts of A, 2 MR fused multiply-adds. MR is what the register file has room for.
 *
 * Packing transposes where k is the contiguous index: LANES rows of LANES numbers at a time, in
 * registers.
 *
 * When one to four rows meet a matrix in main memory there is nothing to gain from packing it: the
 * transposed registers are used at once (stream), and the rows behind are asked for meanwhile: the CPU
 * does not guess so many streams.
 */
#ifndef VLM_NN_GEMM_BODY_H
#define VLM_NN_GEMM_BODY_H

#include "nn/kernels/gemm_kernels.h"
#include "nn/kernels/vector.h"

enum {
    MR = LANES == 16  ? 12
         : LANES == 8 ? 6
                      : 4,
    NR = 2 * LANES,
    STREAM_ROWS = 8,  /* of a panel of A for stream_f32() and the like */
    GEMM_CHAINS = 12, /* of spin_f32() and spin_bf16() */
};

#if defined(__AVX512BF16__)
enum { BF16_BYTES = 2, BF16_PAIR = 2 };
#else
enum { BF16_BYTES = 4, BF16_PAIR = 1 };
#endif

/* Numbers of k in a unit of a panel of integers (int8_body.h). */
#if defined(__AVX512VNNI__)
#define INT8_BYTES 1
#else
#define INT8_BYTES 0
#endif
enum { INT8_UNIT = INT8_BYTES ? 4 : 2 };

/* ---- numbers of 16 bits ---- */

/* Rounds to bf16, to the nearest and ties to even, and widens again. A NaN stays a NaN: it keeps its
 * upper half and is made quiet, since its lower half may be all that made it one. */
VLM_INLINE vec round_to_bf16(vec x)
{
    uvec bits = (uvec)x;
    uvec rounded = bits + 0x7fff + (bits >> 16 & 1);
    uvec upper = (uvec)vec_select(x != x, (vec)(bits | 0x400000), (vec)rounded);
    return (vec)(upper & 0xffff0000);
}

static void round_bf16(uint16_t *bits, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        size_t here = VLM_MIN(n - i, (size_t)LANES);
        uvec v = (uvec)round_to_bf16(here == LANES ? vec_load(x + i) : vec_load_n(x + i, here));
        for (size_t j = 0; j < here; j++)
            bits[i + j] = (uint16_t)(v[j] >> 16);
    }
}

static void widen_bf16(float *x, const uint16_t *bits, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t word = (uint32_t)bits[i] << 16;
        memcpy(x + i, &word, sizeof(word));
    }
}

static void gemm_add_row(float *y, const float *x, size_t n)
{
    for (; n >= LANES; n -= LANES, x += LANES, y += LANES)
        vec_store(y, vec_load(y) + vec_load(x));
    vec_store_n(y, vec_load_n(y, n) + vec_load_n(x, n), n);
}

static void gemm_multiply_row(float *y, const float *x, size_t n)
{
    for (; n >= LANES; n -= LANES, x += LANES, y += LANES)
        vec_store(y, vec_load(y) * vec_load(x));
    vec_store_n(y, vec_load_n(y, n) * vec_load_n(x, n), n);
}

/* ---- packing ---- */

/* A 4 x 4 transposition inside each 16 bytes. */
VLM_INLINE void transpose_pieces(vec v[4])
{
#if defined(__AVX512F__)
    vec a = _mm512_unpacklo_ps(v[0], v[1]), b = _mm512_unpackhi_ps(v[0], v[1]);
    vec c = _mm512_unpacklo_ps(v[2], v[3]), d = _mm512_unpackhi_ps(v[2], v[3]);
    v[0] = _mm512_shuffle_ps(a, c, 0x44);
    v[1] = _mm512_shuffle_ps(a, c, 0xee);
    v[2] = _mm512_shuffle_ps(b, d, 0x44);
    v[3] = _mm512_shuffle_ps(b, d, 0xee);
#elif defined(__AVX2__) && defined(__FMA__)
    vec a = _mm256_unpacklo_ps(v[0], v[1]), b = _mm256_unpackhi_ps(v[0], v[1]);
    vec c = _mm256_unpacklo_ps(v[2], v[3]), d = _mm256_unpackhi_ps(v[2], v[3]);
    v[0] = _mm256_shuffle_ps(a, c, 0x44);
    v[1] = _mm256_shuffle_ps(a, c, 0xee);
    v[2] = _mm256_shuffle_ps(b, d, 0x44);
    v[3] = _mm256_shuffle_ps(b, d, 0xee);
#else
    vec a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5);
    vec b = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
    vec c = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5);
    vec d = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
    v[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    v[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    v[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    v[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
#endif
}

/* v[j] = unit j of each of LANES rows that are `step` bytes apart; zeros where rows are missing. A unit
 * is 32 bits: a float, or two bf16 or four integers that follow each other in k. */
VLM_INLINE void load_square(vec v[LANES], const char *x, size_t step, size_t rows)
{
    vec r[LANES];
#pragma GCC unroll 16
    for (size_t i = 0; i < LANES; i++)
        r[i] = i < rows ? vec_load((const float *)(x + i * step)) : vec_zero();
#pragma GCC unroll 4
    for (size_t i = 0; i < LANES; i += 4)
        transpose_pieces(r + i);
        /* Now r[4 g + j] holds unit 4 b + j of rows 4 g to 4 g + 3 in its 16 bytes number b. */
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; j++) {
#if defined(__AVX512F__)
        vec a = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x44);
        vec b = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xee);
        vec c = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x44);
        vec d = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xee);
        v[j] = _mm512_shuffle_f32x4(a, c, 0x88);
        v[4 + j] = _mm512_shuffle_f32x4(a, c, 0xdd);
        v[8 + j] = _mm512_shuffle_f32x4(b, d, 0x88);
        v[12 + j] = _mm512_shuffle_f32x4(b, d, 0xdd);
#elif defined(__AVX2__) && defined(__FMA__)
        v[j] = _mm256_permute2f128_ps(r[j], r[4 + j], 0x20);
        v[4 + j] = _mm256_permute2f128_ps(r[j], r[4 + j], 0x31);
#else
        v[j] = r[j];
#endif
    }
}

/* Stores `lanes` lanes. */
VLM_INLINE void store_lanes(float *p, vec v, size_t lanes)
{
    if (lanes == LANES)
        vec_store(p, v);
    else
        vec_store_n(p, v, lanes);
}

/* What becomes of units that were loaded: */
enum packing {
    KEEP_FLOATS, /* floats into an fp32 panel */
    KEEP_PAIRS,  /* pairs into a bf16 panel of pairs */
    ROUND,       /* floats into a bf16 panel */
    WIDEN,       /* pairs into a bf16 panel of floats */
    INTEGERS,    /* four integers into a panel of INT8_UNIT of them */
};

#if defined(__AVX512BF16__)
/* Unit i = bf16(even[i]) | bf16(odd[i]) << 16. */
VLM_INLINE vec round_to_pairs(vec even, vec odd)
{
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return (vec)_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(odd, even));
}
#endif

/* Numbers of k in one unit, and in one step of the panel made of it. */
VLM_INLINE size_t unit_numbers(enum packing packing)
{
    return packing == INTEGERS ? 4 : packing == KEEP_FLOATS || packing == ROUND ? 1 : 2;
}

VLM_INLINE size_t step_numbers(enum packing packing)
{
    if (packing == INTEGERS)
        return INT8_UNIT;
    return packing == KEEP_FLOATS || packing == WIDEN ? 1 : BF16_PAIR;
}

/* Integers of one byte as the products take them: w + 128, or the first or second two of four in 16 bits each. */
VLM_INLINE vec step_of_integers(const vec v[LANES], size_t j)
{
#if INT8_BYTES
    return (vec)((uvec)v[j] ^ 0x80808080);
#else
    const uvec two = (uvec)v[j / 2] << (j % 2 ? 0 : 16);
    return (vec)(((ivec)(two << 8) >> 24 & 0xffff) | ((ivec)two >> 24 << 16));
#endif
}

/* Step j of the panel, from loaded units. */
VLM_INLINE vec step_of(const vec v[LANES], size_t j, enum packing packing)
{
    if (packing == INTEGERS)
        return step_of_integers(v, j);
    if (packing == WIDEN)
        return j % 2 ? (vec)((uvec)v[j / 2] & 0xffff0000) : (vec)((uvec)v[j / 2] << 16);
    if (packing != ROUND)
        return v[j];
#if defined(__AVX512BF16__)
    return round_to_pairs(v[2 * j], v[2 * j + 1]);
#else
    return round_to_bf16(v[j]);
#endif
}

/* The last k numbers of rows, fewer than a square has, with zeros behind. */
VLM_INLINE void load_end(vec v[LANES], const char *x, size_t step, size_t rows, size_t bytes)
{
    char end[LANES][LANES * sizeof(float)] = { { 0 } };
    for (size_t i = 0; i < rows; i++)
        memcpy(end[i], x + i * step, bytes);
    load_square(v, end[0], sizeof(end[0]), LANES);
}

/* Packs k numbers that lie one after the other in each row, rows `step` bytes apart: `lanes` lanes of
 * the panel, of which the first `rows` exist. */
VLM_INLINE void pack_lanes(float *panel, size_t width, const char *x, size_t step, size_t k,
                           size_t rows, size_t lanes, enum packing packing)
{
    const size_t bytes = sizeof(float) / unit_numbers(packing); /* of a number */
    const size_t whole = LANES * unit_numbers(packing), steps = whole / step_numbers(packing);
    vec v[LANES];
    for (; k >= whole; k -= whole, x += sizeof(vec), panel += steps * width) {
        load_square(v, x, step, rows);
#pragma GCC unroll 32
        for (size_t j = 0; j < steps; j++)
            store_lanes(panel + j * width, step_of(v, j, packing), lanes);
    }
    if (!k)
        return;
    load_end(v, x, step, rows, k * bytes);
    for (size_t j = 0; j * step_numbers(packing) < k; j++)
        store_lanes(panel + j * width, step_of(v, j, packing), lanes);
}

/* All lanes of a panel; the row counts that matter as constants. */
VLM_INLINE void pack_by_k(void *panel, size_t width, const void *x, size_t rows, size_t k,
                          size_t step, enum packing packing)
{
    for (size_t i = 0; i < width; i += LANES) {
        const char *first = (const char *)x + i * step;
        float *to = (float *)panel + i;
        size_t lanes = VLM_MIN(width - i, (size_t)LANES);
        size_t here = rows > i ? VLM_MIN(rows - i, lanes) : 0;
        if (here == LANES)
            pack_lanes(to, width, first, step, k, LANES, LANES, packing);
        else if (here == MR % LANES && lanes == MR % LANES)
            pack_lanes(to, width, first, step, k, MR % LANES, MR % LANES, packing);
        else
            pack_lanes(to, width, here ? first : x, step, k, here, lanes, packing);
    }
}

/* Copies `rows` floats of each step of k, `step` floats apart, and fills up with zeros. */
VLM_INLINE void copy_by_row(float *panel, size_t width, const float *x, size_t rows, size_t k,
                            size_t step)
{
    for (size_t p = 0; p < k; p++, x += step, panel += width) {
        memcpy(panel, x, rows * sizeof(float));
        memset(panel + rows, 0, (width - rows) * sizeof(float));
    }
}

static void pack_f32(float *panel, size_t width, const float *x, size_t rows, size_t k, size_t row,
                     size_t col)
{
    if (col == 1)
        pack_by_k(panel, width, x, rows, k, row * sizeof(float), KEEP_FLOATS);
    else if (rows == NR && width == NR)
        copy_by_row(panel, NR, x, NR, k, col);
    else if (rows == MR && width == MR)
        copy_by_row(panel, MR, x, MR, k, col);
    else
        copy_by_row(panel, width, x, rows, k, col);
}

/* The first n lanes, zeros behind; n may be 0 or more than there are. */
VLM_INLINE vec load_up_to(const float *x, size_t n)
{
    return n >= LANES ? vec_load(x) : n ? vec_load_n(x, n) : vec_zero();
}

/* The same of bf16, widened. */
VLM_INLINE vec load_words(const uint16_t *x, size_t n)
{
    uvec v = { 0 };
    for (size_t i = 0; i < LANES && i < n; i++)
        v[i] = x[i];
    return (vec)(v << 16);
}

/* The first n of LANES numbers, wherever they are, as floats. */
VLM_INLINE vec load_numbers(const float *x, const uint16_t *bits, size_t at, size_t n)
{
    return bits ? load_words(bits + at, n) : load_up_to(x + at, n);
}

/* LANES rows of each step of k; numbers of one step follow each other, steps are `step` numbers
 * apart. One of x and bits is NULL. */
VLM_INLINE void bf16_by_row(float *panel, size_t width, const float *x, const uint16_t *bits,
                            size_t rows, size_t k, size_t step)
{
    for (size_t p = 0; p < k; p += BF16_PAIR, panel += width)
        for (size_t i = 0; i < width; i += LANES) {
            size_t here = rows > i ? rows - i : 0, lanes = VLM_MIN(width - i, (size_t)LANES);
            size_t at = p * step + i;
            vec even = load_numbers(x, bits, at, here);
#if defined(__AVX512BF16__)
            vec odd = load_numbers(x, bits, at + step, p + 1 < k ? here : 0);
            store_lanes(panel + i, round_to_pairs(even, odd), lanes);
#else
            store_lanes(panel + i, bits ? even : round_to_bf16(even), lanes);
#endif
        }
}

static void pack_bf16(void *panel, size_t width, const float *x, size_t rows, size_t k, size_t row,
                      size_t col)
{
    if (col == 1)
        pack_by_k(panel, width, x, rows, k, row * sizeof(float), ROUND);
    else if (rows == NR && width == NR)
        bf16_by_row(panel, NR, x, NULL, NR, k, col);
    else if (rows == MR && width == MR)
        bf16_by_row(panel, MR, x, NULL, MR, k, col);
    else
        bf16_by_row(panel, width, x, NULL, rows, k, col);
}

static void pack_bits(void *panel, size_t width, const uint16_t *x, size_t rows, size_t k,
                      size_t row, size_t col)
{
    if (col == 1)
        pack_by_k(panel, width, x, rows, k, row * sizeof(uint16_t),
                  BF16_PAIR == 2 ? KEEP_PAIRS : WIDEN);
    else if (rows == NR && width == NR)
        bf16_by_row(panel, NR, NULL, x, NR, k, col);
    else if (rows == MR && width == MR)
        bf16_by_row(panel, MR, NULL, x, MR, k, col);
    else
        bf16_by_row(panel, width, NULL, x, rows, k, col);
}

/* ---- multiplication ---- */

/* sum + a * b, or with pairs sum + a.even * b.even + a.odd * b.odd. */
VLM_INLINE vec gemm_multiply_add(vec a, vec b, vec sum, bool pairs)
{
#if defined(__AVX512BF16__)
    if (pairs)
        return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
#else
    (void)pairs;
#endif
    return vec_fma(a, b, sum);
}

/* One tile: rows <= MR rows of C, a constant where this is called, and NR columns. steps counts units
 * of the panels; `pairs` says that they are pairs of bf16. */
VLM_INLINE void gemm_tile(const float *a, const float *b, size_t steps, float *c, size_t c_row,
                          bool accumulate, size_t rows, bool pairs)
{
    vec sum[MR][2];
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++) {
        sum[r][0] = accumulate ? vec_load(c + r * c_row) : vec_zero();
        sum[r][1] = accumulate ? vec_load(c + r * c_row + LANES) : vec_zero();
    }
    for (size_t p = 0; p < steps; p++, a += MR, b += NR) {
        vec b0 = vec_load(b), b1 = vec_load(b + LANES);
#pragma GCC unroll 12
        for (size_t r = 0; r < rows; r++) {
            vec x = vec_all(a[r]);
            sum[r][0] = gemm_multiply_add(x, b0, sum[r][0], pairs);
            sum[r][1] = gemm_multiply_add(x, b1, sum[r][1], pairs);
        }
    }
#pragma GCC unroll 12
    for (size_t r = 0; r < rows; r++) {
        vec_store(c + r * c_row, sum[r][0]);
        vec_store(c + r * c_row + LANES, sum[r][1]);
    }
}

/* The tile for each number of rows; those above MR do not occur. */
VLM_INLINE void gemm_tile_of(size_t rows, const float *a, const float *b, size_t steps, float *c,
                             size_t c_row, bool accumulate, bool pairs)
{
    switch (rows) {
    case 1:
        gemm_tile(a, b, steps, c, c_row, accumulate, 1, pairs);
        break;
    case 2:
        gemm_tile(a, b, steps, c, c_row, accumulate, 2, pairs);
        break;
    case 3:
        gemm_tile(a, b, steps, c, c_row, accumulate, 3, pairs);
        break;
    case 4:
        gemm_tile(a, b, steps, c, c_row, accumulate, 4, pairs);
        break;
    case 5:
        gemm_tile(a, b, steps, c, c_row, accumulate, VLM_MIN(MR, 5), pairs);
        break;
    case 6:
        gemm_tile(a, b, steps, c, c_row, accumulate, VLM_MIN(MR, 6), pairs);
        break;
    case 7:
        gemm_tile(a, b, steps, c, c_row, accumulate, VLM_MIN(MR, 7), pairs);
        break;
    case 8:
        gemm_tile(a, b, steps, c, c_row, accumulate, VLM_MIN(MR, 8), pairs);
        break;
    case 9:
        gemm_tile(a, b, steps, c, c_row, accumulate, VLM_MIN(MR, 9), pairs);
        break;
    case 10:
        gemm_tile(a, b, steps, c, c_row, accumulate, VLM_MIN(MR, 10), pairs);
        break;
    case 11:
        gemm_tile(a, b, steps, c, c_row, accumulate, VLM_MIN(MR, 11), pairs);
        break;
    default:
        gemm_tile(a, b, steps, c, c_row, accumulate, MR, pairs);
        break;
    }
}

/* A panel of A stays in the first cache while all panels of B pass. A tile that sticks out of C on the
 * right goes through a copy of that part of C. */
VLM_INLINE void gemm_block(const struct vlm_gemm_block *block, size_t steps, bool pairs)
{
    float edge[MR * NR] = { 0 };
    for (size_t i = 0; i < block->m; i += MR) {
        const float *a = (const float *)((const char *)block->a + i / MR * block->a_step);
        size_t rows = VLM_MIN(block->m - i, (size_t)MR);
        for (size_t j = 0; j < block->n; j += NR) {
            const float *b = (const float *)((const char *)block->b + j / NR * block->b_step);
            float *c = block->c + i * block->c_row + j;
            size_t cols = VLM_MIN(block->n - j, (size_t)NR);
            for (size_t r = 0; cols < NR && block->accumulate && r < rows; r++)
                memcpy(edge + r * NR, c + r * block->c_row, cols * sizeof(float));
            gemm_tile_of(rows, a, b, steps, cols < NR ? edge : c, cols < NR ? NR : block->c_row,
                         block->accumulate, pairs);
            for (size_t r = 0; cols < NR && r < rows; r++)
                memcpy(c + r * block->c_row, edge + r * NR, cols * sizeof(float));
        }
    }
}

static void block_f32(const struct vlm_gemm_block *block)
{
    gemm_block(block, block->k, false);
}

static void block_bf16(const struct vlm_gemm_block *block)
{
#if defined(__AVX512BF16__)
    gemm_block(block, (block->k + 1) / 2, true);
#else
    gemm_block(block, block->k, false);
#endif
}

/* ---- few rows of A, B not packed ---- */

/* Asks for the memory behind a group of rows, a part for each square of the group. */
struct ahead {
    const char *at;
    size_t line,
        square; /* bytes from one line to the next, and from one square's part to the next */
};

/* Where rows follow each other without gaps the lines are taken as they lie, which memory likes best. */
VLM_INLINE struct ahead ahead_of(const char *x, size_t step, size_t rows, size_t row_bytes)
{
    const size_t line = LANES * sizeof(float);
    bool dense = step - row_bytes < line;
    return (struct ahead){ x + rows * step, dense ? line : step, dense ? rows * line : line };
}

VLM_INLINE void ask_ahead(struct ahead *ahead, size_t rows)
{
#pragma GCC unroll 32
    for (size_t i = 0; i < rows; i++)
        __builtin_prefetch(ahead->at + i * ahead->line, 0, 2);
    ahead->at += ahead->square;
}

/* n steps of the panel of A, from unit v[0] on. */
VLM_INLINE void add_steps(vec sum[], size_t rows, const float *a, size_t width, const vec *v,
                          size_t n, enum packing packing)
{
    const bool pairs = packing != KEEP_FLOATS && BF16_PAIR == 2;
#pragma GCC unroll 32
    for (size_t p = 0; p < n; p++) {
        vec b = step_of(v, p, packing);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++)
            sum[r] = gemm_multiply_add(vec_all(a[p * width + r]), b, sum[r], pairs);
    }
}

/* `rows` rows of a panel of A, a constant where this is called, times LANES rows of B, of which the
 * first `here` exist. c has room for `store` rows. */
VLM_INLINE void stream_lanes(const struct vlm_gemm_stream *stream, const float *a, float *c,
                             const char *x, size_t here, size_t rows, size_t store,
                             enum packing packing)
{
    const size_t bytes = sizeof(float) / unit_numbers(packing);
    const size_t whole = LANES * unit_numbers(packing), steps = whole / step_numbers(packing);
    const bool pairs = packing != KEEP_FLOATS && BF16_PAIR == 2;
    size_t k = stream->k, width = rows == 1 ? stream->a_width : rows;
    struct ahead ahead = ahead_of(x, stream->b_row, here, k * bytes);
    vec sum[STREAM_ROWS], v[LANES];
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
        sum[r] =
            stream->accumulate && r < store ? load_up_to(c + r * stream->c_row, here) : vec_zero();
    for (; k >= whole; k -= whole, x += sizeof(vec), a += steps * width) {
        load_square(v, x, stream->b_row, here);
        ask_ahead(&ahead, here);
        add_steps(sum, rows, a, width, v, steps, packing);
    }
    if (k)
        load_end(v, x, stream->b_row, here, k * bytes);
    for (size_t p = 0; p * step_numbers(packing) < k; p++)
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++)
            sum[r] =
                gemm_multiply_add(vec_all(a[p * width + r]), step_of(v, p, packing), sum[r], pairs);
#pragma GCC unroll 8
    for (size_t r = 0; r < rows; r++)
        if (r < store)
            store_lanes(c + r * stream->c_row, sum[r], here);
}

/* All rows of A against each group of LANES rows of B, which is in the cache from the second panel on.
 * `rows` is the width of a panel, a constant where this is called. */
VLM_INLINE void stream_panels(const struct vlm_gemm_stream *stream, size_t rows,
                              enum packing packing)
{
    for (size_t j = 0; j + LANES <= stream->n; j += LANES)
        for (size_t i = 0; i < stream->m; i += rows)
            stream_lanes(
                stream, (const float *)((const char *)stream->a + i / rows * stream->a_step),
                stream->c + i * stream->c_row + j, (const char *)stream->b + j * stream->b_row,
                LANES, rows, VLM_MIN(stream->m - i, rows), packing);
}

VLM_INLINE void stream_of(const struct vlm_gemm_stream *stream, enum packing packing)
{
    switch (stream->a_width) {
    case 1:
        stream_panels(stream, 1, packing);
        break;
    case 2:
        stream_panels(stream, 2, packing);
        break;
    case 4:
        stream_panels(stream, 4, packing);
        break;
    default:
        stream_panels(stream, STREAM_ROWS, packing);
        break;
    }
    /* The last columns, row by row. */
    size_t j = stream->n / LANES * LANES, width = stream->a_width;
    for (size_t i = 0; j < stream->n && i < stream->m; i++)
        stream_lanes(stream,
                     (const float *)((const char *)stream->a + i / width * stream->a_step) +
                         i % width,
                     stream->c + i * stream->c_row + j, (const char *)stream->b + j * stream->b_row,
                     stream->n - j, 1, 1, packing);
}

static void stream_f32(const struct vlm_gemm_stream *stream)
{
    stream_of(stream, KEEP_FLOATS);
}

static void stream_bf16(const struct vlm_gemm_stream *stream)
{
    stream_of(stream, ROUND);
}

static void stream_bits(const struct vlm_gemm_stream *stream)
{
    stream_of(stream, BF16_PAIR == 2 ? KEEP_PAIRS : WIDEN);
}

/* ---- the most that is possible ---- */

/* Multiply-adds that never leave the registers; enough of them at once to hide how long one takes. */
VLM_INLINE vec gemm_spin(size_t rounds, bool pairs)
{
    vec sum[GEMM_CHAINS], a = vec_all(0.999f), b = vec_all(1e-3f);
    for (int j = 0; j < GEMM_CHAINS; j++)
        sum[j] = vec_all((float)j);
    for (size_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
        for (int j = 0; j < GEMM_CHAINS; j++)
            sum[j] = pairs ? gemm_multiply_add(a, b, sum[j], true) : vec_fma(sum[j], a, b);
    }
    for (int j = 1; j < GEMM_CHAINS; j++)
        sum[0] += sum[j];
    return sum[0];
}

static double spin_f32(size_t rounds, float *sink)
{
    *sink = vec_sum(gemm_spin(rounds, false));
    return 2.0 * GEMM_CHAINS * LANES * (double)rounds;
}

static double spin_bf16(size_t rounds, float *sink)
{
    *sink = vec_sum(gemm_spin(rounds, BF16_PAIR == 2));
    return 2.0 * BF16_PAIR * GEMM_CHAINS * LANES * (double)rounds;
}

static float read_through(const float *x, size_t n)
{
    vec sum[4] = { vec_zero(), vec_zero(), vec_zero(), vec_zero() };
    for (; n >= 4 * LANES; n -= 4 * LANES, x += 4 * LANES)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum[j] += vec_load(x + j * LANES);
    return vec_sum(sum[0] + sum[1] + sum[2] + sum[3]);
}

static void triad(float *c, const float *a, const float *b, size_t n)
{
    for (; n >= LANES; n -= LANES, a += LANES, b += LANES, c += LANES)
        vec_store(c, vec_fma(vec_all(3), vec_load(b), vec_load(a)));
}

static const struct vlm_gemm_kernels gemm_kernels = {
    .mr = MR,
    .nr = NR,
    .bf16_bytes = BF16_BYTES,
    .bf16_pair = BF16_PAIR,
    .pack_f32 = pack_f32,
    .pack_bf16 = pack_bf16,
    .pack_bits = pack_bits,
    .block_f32 = block_f32,
    .block_bf16 = block_bf16,
    .stream_rows = STREAM_ROWS,
    .stream_f32 = stream_f32,
    .stream_bf16 = stream_bf16,
    .stream_bits = stream_bits,
    .add_row = gemm_add_row,
    .multiply_row = gemm_multiply_row,
    .round_bf16 = round_bf16,
    .widen_bf16 = widen_bf16,
    .spin_f32 = spin_f32,
    .spin_bf16 = spin_bf16,
    .read_through = read_through,
    .triad = triad,
};

#endif
