/* activation_body.h - activation functions and their derivatives, one number at a time.
 *
 * Each is first a function of one vector, in which `kind` is a constant and the switch disappears;
 * then a loop. Accuracy: below 4 units in the last place, and 2 |t| units more where the result is
 * far in the tail of e^-t (there e^-t is as wrong as its rounded argument). Results below 1e-35 may
 * be 0.
 *
 * Infinite arguments give the limits: a factor that is multiplied by something which tends to zero is
 * first held where that something is zero already. The derivative is multiplied by dy whatever it
 * is: 0 times an infinite dy is NaN, so an overflow stays visible. */
#ifndef VLM_NN_ACTIVATION_BODY_H
#define VLM_NN_ACTIVATION_BODY_H

#include "nn/kernels/row_kernels.h"
#include "nn/kernels/vector.h"

/* |x| */
VLM_INLINE vec vec_abs(vec x)
{
    return (vec)((ivec)x & 0x7fffffff);
}

/* low if x is below it, high if above, NaN stays NaN. */
VLM_INLINE vec vec_hold(vec x, float low, float high)
{
    return vec_min(vec_all(high), vec_max(vec_all(low), x));
}

/* e^-|x|: vec_exp() of vector.h without what large arguments need. Below -88 the exponent bits, and
 * with them the result, are 0. */
VLM_INLINE vec exp_fall(vec x)
{
    vec t = vec_max(vec_all(-88), (vec)((ivec)x | INT32_MIN));
    vec shifted;
    vec p = vec_exp_parts(t, &shifted);
    return p * (vec)(((ivec)shifted << 23) + (127 << 23));
}

/* sigma(x) = 1 / (1 + e^-x), and *slope = sigma'(x) = e / (1 + e)^2 with e = e^-|x|: both keep all
 * digits at both ends. */
VLM_INLINE vec sigmoid_value(vec x, vec *slope)
{
    vec e = exp_fall(x);
    vec upper = vec_all(1) / (vec_all(1) + e);
    vec lower = e * upper;
    *slope = lower * upper;
    return vec_select(x < vec_zero(), lower, upper);
}

/* Near 0 the odd Taylor series, which keeps the digits that (1 - e) / (1 + e) loses. */
VLM_INLINE vec tanh_value(vec x)
{
    const vec one = vec_all(1);
    vec size = vec_abs(x);
    vec e = exp_fall(x + x);
    vec far = (one - e) / (one + e);
    vec square = x * x;
    vec p = vec_all(21844.0f / 6081075);
    p = vec_fma(p, square, vec_all(-1382.0f / 155925));
    p = vec_fma(p, square, vec_all(62.0f / 2835));
    p = vec_fma(p, square, vec_all(-17.0f / 315));
    p = vec_fma(p, square, vec_all(2.0f / 15));
    p = vec_fma(p, square, vec_all(-1.0f / 3));
    vec near = vec_fma(p * square, x, x);
    vec sign = (vec)((ivec)x & INT32_MIN);
    return vec_select(size < vec_all(0.5f), near, (vec)((ivec)far | (ivec)sign));
}

/* 1 - tanh^2 x = 4 sigma'(2 x). */
VLM_INLINE vec tanh_slope(vec x)
{
    vec slope;
    sigmoid_value(x + x, &slope);
    return vec_all(4) * slope;
}

/* The upper tail of the normal distribution, Q(z) = erfc(z / sqrt(2)) / 2 for 0 <= z <= 20, and
 * *bell = e^(-z^2/2). Q = e^(-z^2/2) t P(t) with t = 1 / (1 + z/4), as Hastings 1955 ("Approximations
 * for digital computers") made them; P of degree 9 was fitted to 40 digits of erfc for least largest
 * relative error, which is 1.3e-8 before rounding. */
VLM_INLINE vec normal_tail(vec z, vec *bell)
{
    vec t = vec_all(1) / vec_fma(z, vec_all(0.25f), vec_all(1));
    vec p = vec_all(0.018983764f);
    p = vec_fma(p, t, vec_all(-0.075983696f));
    p = vec_fma(p, t, vec_all(0.083013509f));
    p = vec_fma(p, t, vec_all(-0.0138755524f));
    p = vec_fma(p, t, vec_all(0.0483374083f));
    p = vec_fma(p, t, vec_all(0.0672856164f));
    p = vec_fma(p, t, vec_all(0.078787193f));
    p = vec_fma(p, t, vec_all(0.0940405797f));
    p = vec_fma(p, t, vec_all(0.0996726855f));
    p = vec_fma(p, t, vec_all(0.0997384974f));
    *bell = exp_fall(z * z * vec_all(0.5f));
    return *bell * (t * p);
}

/* Phi(x), the normal distribution, and *bell = e^(-x^2/2). */
VLM_INLINE vec normal_below(vec x, vec *bell)
{
    vec tail = normal_tail(vec_hold(vec_abs(x), 0, 20), bell);
    return vec_select(x > vec_zero(), vec_all(1) - tail, tail);
}

/* 2 u of tanh-GELU: 1/2 (1 + tanh u) = sigma(2 u). */
VLM_INLINE vec gelu_tanh_argument(vec x)
{
    return x * vec_fma(x * x, vec_all(0.0713548162f), vec_all(1.59576912f));
}

VLM_INLINE vec activation_value(enum vlm_activation kind, vec x)
{
    vec unused, positive;
    switch (kind) {
    case VLM_GELU_TANH:
        return vec_max(vec_all(-20), x) * sigmoid_value(gelu_tanh_argument(x), &unused);
    case VLM_GELU_ERF:
        return vec_max(vec_all(-20), x) * normal_below(x, &unused);
    case VLM_GELU_QUICK:
        return vec_max(vec_all(-100), x) * sigmoid_value(vec_all(1.702f) * x, &unused);
    case VLM_SILU:
        return vec_max(vec_all(-100), x) * sigmoid_value(x, &unused);
    case VLM_RELU:
        return vec_max(vec_zero(), x);
    case VLM_RELU_SQUARED:
        positive = vec_max(vec_zero(), x);
        return positive * positive;
    case VLM_TANH:
        return tanh_value(x);
    case VLM_SIGMOID:
        return sigmoid_value(x, &unused);
    case VLM_LINEAR:
        break;
    }
    return x;
}

/* The derivative of x sigma(v(x)): sigma(v) + x sigma'(v) v'(x); slope is v'. */
VLM_INLINE vec gated_slope(vec x, vec v, vec slope)
{
    vec curve;
    vec value = sigmoid_value(v, &curve);
    return vec_fma(x * slope, curve, value);
}

VLM_INLINE vec activation_slope(enum vlm_activation kind, vec x)
{
    vec bell, below, slope;
    switch (kind) {
    case VLM_GELU_TANH:
        x = vec_hold(x, -20, 20);
        return gated_slope(x, gelu_tanh_argument(x),
                           vec_fma(x * x, vec_all(0.214064449f), vec_all(1.59576912f)));
    case VLM_GELU_ERF: /* Phi(x) + x e^(-x^2/2) / sqrt(2 pi) */
        x = vec_hold(x, -20, 20);
        below = normal_below(x, &bell);
        return vec_fma(x * vec_all(0.39894228f), bell, below);
    case VLM_GELU_QUICK:
        x = vec_hold(x, -100, 100);
        return gated_slope(x, vec_all(1.702f) * x, vec_all(1.702f));
    case VLM_SILU:
        x = vec_hold(x, -100, 100);
        return gated_slope(x, x, vec_all(1));
    case VLM_RELU: /* 0 at 0; NaN at NaN */
        return vec_select(x != x, x, vec_select(x > vec_zero(), vec_all(1), vec_zero()));
    case VLM_RELU_SQUARED:
        return vec_all(2) * vec_max(vec_zero(), x);
    case VLM_TANH:
        return tanh_slope(x);
    case VLM_SIGMOID:
        sigmoid_value(x, &slope);
        return slope;
    case VLM_LINEAR:
        break;
    }
    return vec_all(1);
}

VLM_INLINE void activate_all(enum vlm_activation kind, float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vec_store(y + i, activation_value(kind, vec_load(x + i)));
    if (i < n)
        vec_store_n(y + i, activation_value(kind, vec_load_n(x + i, n - i)), n - i);
}

VLM_INLINE void activate_backward_all(enum vlm_activation kind, float *dx, const float *x,
                                      const float *dy, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vec_store(dx + i, activation_slope(kind, vec_load(x + i)) * vec_load(dy + i));
    if (i < n)
        vec_store_n(dx + i,
                    activation_slope(kind, vec_load_n(x + i, n - i)) * vec_load_n(dy + i, n - i),
                    n - i);
}

static void activate(enum vlm_activation kind, float *y, const float *x, size_t n)
{
    switch (kind) { /* each case is a loop of its own */
    case VLM_LINEAR:
        memmove(y, x, n * sizeof(*y));
        break;
    case VLM_GELU_TANH:
        activate_all(VLM_GELU_TANH, y, x, n);
        break;
    case VLM_GELU_ERF:
        activate_all(VLM_GELU_ERF, y, x, n);
        break;
    case VLM_GELU_QUICK:
        activate_all(VLM_GELU_QUICK, y, x, n);
        break;
    case VLM_SILU:
        activate_all(VLM_SILU, y, x, n);
        break;
    case VLM_RELU:
        activate_all(VLM_RELU, y, x, n);
        break;
    case VLM_RELU_SQUARED:
        activate_all(VLM_RELU_SQUARED, y, x, n);
        break;
    case VLM_TANH:
        activate_all(VLM_TANH, y, x, n);
        break;
    case VLM_SIGMOID:
        activate_all(VLM_SIGMOID, y, x, n);
        break;
    }
}

static void activate_backward(enum vlm_activation kind, float *dx, const float *x, const float *dy,
                              size_t n)
{
    switch (kind) {
    case VLM_LINEAR:
        memmove(dx, dy, n * sizeof(*dx));
        break;
    case VLM_GELU_TANH:
        activate_backward_all(VLM_GELU_TANH, dx, x, dy, n);
        break;
    case VLM_GELU_ERF:
        activate_backward_all(VLM_GELU_ERF, dx, x, dy, n);
        break;
    case VLM_GELU_QUICK:
        activate_backward_all(VLM_GELU_QUICK, dx, x, dy, n);
        break;
    case VLM_SILU:
        activate_backward_all(VLM_SILU, dx, x, dy, n);
        break;
    case VLM_RELU:
        activate_backward_all(VLM_RELU, dx, x, dy, n);
        break;
    case VLM_RELU_SQUARED:
        activate_backward_all(VLM_RELU_SQUARED, dx, x, dy, n);
        break;
    case VLM_TANH:
        activate_backward_all(VLM_TANH, dx, x, dy, n);
        break;
    case VLM_SIGMOID:
        activate_backward_all(VLM_SIGMOID, dx, x, dy, n);
        break;
    }
}

/* One vector of SwiGLU backward: *dgate and *dup from gate, up, dy. */
VLM_INLINE void swiglu_slope(vec gate, vec up, vec dy, vec *dgate, vec *dup)
{
    vec value = activation_value(VLM_SILU, gate);
    *dgate = dy * up * activation_slope(VLM_SILU, gate);
    *dup = dy * value;
}

static void swiglu(float *y, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        vec_store(y + i, activation_value(VLM_SILU, vec_load(gate + i)) * vec_load(up + i));
    if (i < n)
        vec_store_n(y + i,
                    activation_value(VLM_SILU, vec_load_n(gate + i, n - i)) *
                        vec_load_n(up + i, n - i),
                    n - i);
}

static void swiglu_backward(float *dgate, float *dup, const float *gate, const float *up,
                            const float *dy, size_t n)
{
    vec a, b;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        swiglu_slope(vec_load(gate + i), vec_load(up + i), vec_load(dy + i), &a, &b);
        vec_store(dup + i, b);
        vec_store(dgate + i, a);
    }
    if (i < n) {
        size_t rest = n - i;
        swiglu_slope(vec_load_n(gate + i, rest), vec_load_n(up + i, rest), vec_load_n(dy + i, rest),
                     &a, &b);
        vec_store_n(dup + i, b, rest);
        vec_store_n(dgate + i, a, rest);
    }
}

#endif
