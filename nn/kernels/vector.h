/* vector.h - the one vector type that all kernels are written in.
 *
 *   vec sum = vec_zero();
 *   for (; n >= LANES; n -= LANES, x += LANES)
 *       sum += vec_load(x);
 *   float total = vec_sum(sum + vec_load_n(x, n));
 *
 * A kernel is written once, for a vector of LANES floats; the files avx512.c, avx2.c and plain.c
 * compile it for 16, 8 and 4 of them. + - * / and comparisons come from the compiler (GCC and clang
 * vector extensions); what it has no operator for is here, once for each width. Comparisons give an
 * `ivec` of all ones or zeros, for vec_select().
 *
 * NaN: vec_max and vec_min keep a NaN of their *second* operand, as the x86 instructions do, so that
 * a clamp is written vec_max(low, x) and never hides one. */
#ifndef VLM_NN_VECTOR_H
#define VLM_NN_VECTOR_H

#include "base/vlm.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { LANES = 16 };
typedef __m512 vec;
#elif defined(__AVX2__) && defined(__FMA__)
enum { LANES = 8 };
typedef __m256 vec;
#else
enum { LANES = 4 };
typedef float vec __attribute__((vector_size(16), may_alias));
#endif
typedef int32_t ivec __attribute__((vector_size(4 * LANES), may_alias));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES), may_alias));

/* Kernel helpers disappear into their callers: their loop counts must become constants there. */
#define VLM_INLINE static inline __attribute__((always_inline))

VLM_INLINE vec vec_zero(void)
{
    return (vec){ 0 };
}

/* x in every lane. */
VLM_INLINE vec vec_all(float x)
{
#if defined(__AVX512F__)
    return _mm512_set1_ps(x);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_set1_ps(x);
#else
    return (vec){ x, x, x, x };
#endif
}

/* LANES floats from any address. */
VLM_INLINE vec vec_load(const float *p)
{
    vec v;
    memcpy(&v, p, sizeof(v));
    return v;
}

VLM_INLINE void vec_store(float *p, vec v)
{
    memcpy(p, &v, sizeof(v));
}

/* The first n < LANES floats, zeros behind them; reads nothing beyond p[n - 1]. */
VLM_INLINE vec vec_load_n(const float *p, size_t n)
{
#if defined(__AVX512F__)
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vec v = vec_zero();
    for (size_t i = 0; i < n; i++)
        v[i] = p[i];
    return v;
#endif
}

/* Stores the first n < LANES lanes. */
VLM_INLINE void vec_store_n(float *p, vec v, size_t n)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#else
    for (size_t i = 0; i < n; i++)
        p[i] = v[i];
#endif
}

/* a * b + c, rounded once where the CPU can. */
VLM_INLINE vec vec_fma(vec a, vec b, vec c)
{
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_fmadd_ps(a, b, c);
#else
    return a * b + c;
#endif
}

/* The larger of each pair; b where either is NaN. */
VLM_INLINE vec vec_max(vec a, vec b)
{
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_max_ps(a, b);
#else
    ivec larger = a > b;
    return (vec)((larger & (ivec)a) | (~larger & (ivec)b));
#endif
}

/* The smaller of each pair; b where either is NaN. */
VLM_INLINE vec vec_min(vec a, vec b)
{
#if defined(__AVX512F__)
    return _mm512_min_ps(a, b);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_min_ps(a, b);
#else
    ivec smaller = a < b;
    return (vec)((smaller & (ivec)a) | (~smaller & (ivec)b));
#endif
}

/* yes where the lane of mask is all ones, no where it is zero. */
VLM_INLINE vec vec_select(ivec mask, vec yes, vec no)
{
    return (vec)((mask & (ivec)yes) | (~mask & (ivec)no));
}

VLM_INLINE vec vec_sqrt(vec v)
{
#if defined(__AVX512F__)
    return _mm512_sqrt_ps(v);
#elif defined(__AVX2__) && defined(__FMA__)
    return _mm256_sqrt_ps(v);
#else
    for (int i = 0; i < LANES; i++)
        v[i] = __builtin_sqrtf(v[i]);
    return v;
#endif
}

/* The sum of all lanes, by halves: a fixed order. */
VLM_INLINE float vec_sum(vec v)
{
#if defined(__AVX512F__)
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
#elif defined(__AVX2__) && defined(__FMA__)
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
#else
    vec four = v;
#endif
    return (four[0] + four[2]) + (four[1] + four[3]);
}

/* The largest lane; NaN when any lane is NaN. */
VLM_INLINE float vec_largest(vec v)
{
    float largest = v[0];
    for (int i = 1; i < LANES; i++)
        largest = v[i] > largest || v[i] != v[i] ? v[i] : largest;
    return largest;
}

/* e^t = p 2^n for |t| < 2^21: gives p, and n in the lower bits of *shifted, whose lower 9 bits were 0
 * before. t = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts (Cody and Waite); p = e^r by its
 * Taylor polynomial of degree 7. */
VLM_INLINE vec vec_exp_parts(vec t, vec *shifted)
{
    const vec magic = vec_all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
    *shifted = vec_fma(t, vec_all(1.44269504f), magic);
    vec n = *shifted - magic;
    vec r = vec_fma(n, vec_all(-0.693359375f), t);
    r = vec_fma(n, vec_all(2.12194440e-4f), r);
    vec p = vec_all(1.0f / 5040);
    p = vec_fma(p, r, vec_all(1.0f / 720));
    p = vec_fma(p, r, vec_all(1.0f / 120));
    p = vec_fma(p, r, vec_all(1.0f / 24));
    p = vec_fma(p, r, vec_all(1.0f / 6));
    p = vec_fma(p, r, vec_all(0.5f));
    p = vec_fma(p, r, vec_all(1.0f));
    return vec_fma(p, r, vec_all(1.0f));
}

/* e^x, error below 2 units in the last place. 0 below -87.3 (no denormals), infinite above 88.7, NaN
 * stays NaN. */
VLM_INLINE vec vec_exp(vec x)
{
    const vec low = vec_all(-87.33654f), high = vec_all(88.72283f);
    vec shifted;
    vec p = vec_exp_parts(vec_min(high, vec_max(low, x)), &shifted);
    /* 2^n in two factors: n reaches 128, one more than an exponent holds. */
    ivec power = (ivec)shifted - (ivec)vec_all(12582912.0f);
    ivec half = power >> 1;
    vec y = p * (vec)((half + 127) << 23) * (vec)((power - half + 127) << 23);
    y = vec_select(x < low, vec_zero(), y);
    y = vec_select(x > high, vec_all(__builtin_inff()), y);
    return vec_select(x != x, x, y);
}

#endif
