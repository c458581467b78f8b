/* resize_avx2.c - the inner loops of resize.c for x86-64 processors with AVX2.
 *
 * Rows: 8-bit samples are widened to 16 bits and multiplied with both halves of the weights by
 * vpmaddwd, which adds neighbouring taps; the halves are joined at the end. All sums are exact in 32
 * bits. Columns: plain 32-bit products. */
#include "base/vlm.h"

#include "vqgan/image/resize_kernels.h"

#ifdef __x86_64__

#include <immintrin.h>

#define AVX2        __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((always_inline, target("avx2")))

enum { ROWS = 4, TAPS = 4 };

bool vlm_has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

/* Sums of 32-bit lanes -> samples in the low byte of each lane, saturated by the packing later. */
AVX2_INLINE __m128i join_halves(__m256i high, __m256i low)
{
    __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(high, VLM_WEIGHT_LOW_BITS), low);
    __m128i both = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    both = _mm_add_epi32(both, _mm_set1_epi32(VLM_WEIGHT_ROUNDING));
    return _mm_srai_epi32(both, VLM_WEIGHT_BITS);
}

/* Weights 0, 1 in all pairs of the lower half, 2, 3 in those of the upper half. */
AVX2_INLINE __m256i spread_weights(const int16_t *weights)
{
    const __m256i pattern = _mm256_setr_epi8(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5,
                                             6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
    long long four;
    memcpy(&four, weights, sizeof(four));
    return _mm256_shuffle_epi8(_mm256_set1_epi64x(four), pattern);
}

/* Four pixels as 16-bit pairs: R0 R1 G0 G1 B0 B1 - - in the lower half, 2 and 3 in the upper. */
AVX2_INLINE __m256i load_pixels(const uint8_t *p)
{
    const __m256i pattern =
        _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7,
                         -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), pattern);
}

/* Sums with both halves of the weights, for one row. */
struct sums {
    __m256i high, low;
};

AVX2_INLINE void add_pixels(struct sums *sums, const uint8_t *p, __m256i high, __m256i low)
{
    __m256i pixels = load_pixels(p);
    sums->high = _mm256_add_epi32(sums->high, _mm256_madd_epi16(pixels, high));
    sums->low = _mm256_add_epi32(sums->low, _mm256_madd_epi16(pixels, low));
}

/* Four single structs, not an array: compilers keep those in registers. */
AVX2 void vlm_resize_rgb_rows_avx2(uint8_t *to, size_t to_stride, const uint8_t *from,
                                   size_t stride, const struct vlm_weights *weights, size_t columns)
{
    const struct sums zero = { _mm256_setzero_si256(), _mm256_setzero_si256() };
    for (size_t x = 0; x < columns; x++) {
        const uint8_t *p = from + (size_t)weights->first[x] * 3;
        const int16_t *high = weights->high + x * weights->pitch;
        const int16_t *low = weights->low + x * weights->pitch;
        const size_t count = weights->count[x];
        struct sums a = zero, b = zero, c = zero, d = zero;
        for (size_t k = 0; k < count; k += TAPS, p += 3 * TAPS) {
            __m256i high_weights = spread_weights(high + k), low_weights = spread_weights(low + k);
            add_pixels(&a, p, high_weights, low_weights);
            add_pixels(&b, p + stride, high_weights, low_weights);
            add_pixels(&c, p + 2 * stride, high_weights, low_weights);
            add_pixels(&d, p + 3 * stride, high_weights, low_weights);
        }
        __m128i first = _mm_packs_epi32(join_halves(a.high, a.low), join_halves(b.high, b.low));
        __m128i second = _mm_packs_epi32(join_halves(c.high, c.low), join_halves(d.high, d.low));
        uint8_t pixels[ROWS][4];
        _mm_storeu_si128((__m128i *)(void *)pixels, _mm_packus_epi16(first, second));
        for (size_t r = 0; r < ROWS; r++)
            memcpy(to + r * to_stride + 3 * x, pixels[r], 3);
    }
}

AVX2 void vlm_resize_grey_row_avx2(uint8_t *to, const uint8_t *from,
                                   const struct vlm_weights *weights, size_t columns)
{
    for (size_t x = 0; x < columns; x++) {
        const uint8_t *p = from + weights->first[x];
        const int16_t *high = weights->high + x * weights->pitch;
        const int16_t *low = weights->low + x * weights->pitch;
        __m256i high_sum = _mm256_setzero_si256(), low_sum = high_sum;
        for (size_t k = 0; k < weights->count[x]; k += 16) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(p + k));
            __m256i samples = _mm256_cvtepu8_epi16(bytes);
            __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)(high + k));
            high_sum = _mm256_add_epi32(high_sum, _mm256_madd_epi16(samples, w));
            w = _mm256_loadu_si256((const __m256i *)(const void *)(low + k));
            low_sum = _mm256_add_epi32(low_sum, _mm256_madd_epi16(samples, w));
        }
        __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(high_sum, VLM_WEIGHT_LOW_BITS), low_sum);
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
        int32_t total = _mm_cvtsi128_si32(four) + VLM_WEIGHT_ROUNDING;
        total >>= VLM_WEIGHT_BITS;
        to[x] = (uint8_t)(total < 0 ? 0 : total > 255 ? 255 : total);
    }
}

/* Eight bytes of one row times its weight, added to sum. */
AVX2_INLINE __m256i add_product(__m256i sum, const uint8_t *p, __m256i weight)
{
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)p);
    return _mm256_add_epi32(sum, _mm256_mullo_epi32(_mm256_cvtepu8_epi32(bytes), weight));
}

/* Sixteen sums -> sixteen samples. */
AVX2_INLINE __m128i narrow(__m256i a, __m256i b)
{
    __m256i words = _mm256_packs_epi32(_mm256_srai_epi32(a, VLM_WEIGHT_BITS),
                                       _mm256_srai_epi32(b, VLM_WEIGHT_BITS));
    words = _mm256_permute4x64_epi64(words, 0xd8); /* packing works within 128-bit halves */
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

AVX2 void vlm_resize_column_avx2(uint8_t *to, const uint8_t *from, size_t stride,
                                 const int32_t *weight, size_t count, size_t n)
{
    const __m256i rounding = _mm256_set1_epi32(VLM_WEIGHT_ROUNDING);
    size_t x = 0;
    for (; x + 32 <= n; x += 32) {
        __m256i a = rounding, b = rounding, c = rounding, d = rounding;
        const uint8_t *p = from + x;
        for (size_t k = 0; k < count; k++, p += stride) {
            __m256i w = _mm256_set1_epi32(weight[k]);
            a = add_product(a, p, w);
            b = add_product(b, p + 8, w);
            c = add_product(c, p + 16, w);
            d = add_product(d, p + 24, w);
        }
        _mm_storeu_si128((__m128i *)(void *)(to + x), narrow(a, b));
        _mm_storeu_si128((__m128i *)(void *)(to + x + 16), narrow(c, d));
    }
    if (x < n)
        vlm_resize_column(to + x, from + x, stride, weight, count, n - x);
}

#endif
