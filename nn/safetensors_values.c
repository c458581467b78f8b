/* safetensors_values.c - dtypes: names, sizes, conversion to float; texts for sentences.
 *
 * Values stand in files in little-endian order and are used as they stand: the code is for machines
 * of that order (x86-64, arm64), which is checked when it is compiled. */
#include "base/vlm.h"

#include "nn/safetensors_internal.h"

#include "base/utf8.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are used as files hold them");

static const struct {
    const char *name;
    size_t size;
    bool is_float;
} dtypes[VLM_SAFETENSORS_DTYPES] = {
    [VLM_SAFETENSORS_F32] = { "F32", 4, true },    [VLM_SAFETENSORS_BF16] = { "BF16", 2, true },
    [VLM_SAFETENSORS_F16] = { "F16", 2, true },    [VLM_SAFETENSORS_F64] = { "F64", 8, true },
    [VLM_SAFETENSORS_I64] = { "I64", 8, false },   [VLM_SAFETENSORS_I32] = { "I32", 4, false },
    [VLM_SAFETENSORS_I16] = { "I16", 2, false },   [VLM_SAFETENSORS_I8] = { "I8", 1, false },
    [VLM_SAFETENSORS_U64] = { "U64", 8, false },   [VLM_SAFETENSORS_U32] = { "U32", 4, false },
    [VLM_SAFETENSORS_U16] = { "U16", 2, false },   [VLM_SAFETENSORS_U8] = { "U8", 1, false },
    [VLM_SAFETENSORS_BOOL] = { "BOOL", 1, false },
};

const char *vlm_safetensors_dtype_name(enum vlm_safetensors_dtype dtype)
{
    VLM_BUG_IF((unsigned)dtype >= VLM_SAFETENSORS_DTYPES);
    return dtypes[dtype].name;
}

size_t vlm_safetensors_dtype_size(enum vlm_safetensors_dtype dtype)
{
    VLM_BUG_IF((unsigned)dtype >= VLM_SAFETENSORS_DTYPES);
    return dtypes[dtype].size;
}

bool vlm_safetensors_is_float(enum vlm_safetensors_dtype dtype)
{
    VLM_BUG_IF((unsigned)dtype >= VLM_SAFETENSORS_DTYPES);
    return dtypes[dtype].is_float;
}

bool vlm_safetensors_product(size_t *count, const size_t *shape, unsigned rank)
{
    *count = 1;
    for (unsigned i = 0; i < rank; i++)
        if (__builtin_mul_overflow(*count, shape[i], count))
            return false;
    return true;
}

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits. Every value is a float. */
static float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31;
    uint32_t mantissa = half & 1023, bits;
    if (exponent == 0) { /* subnormal: a multiple of 2^-24, normal as a float */
        float magnitude = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &magnitude, sizeof(bits));
        return float_of_bits(sign | bits);
    }
    exponent = exponent == 31 ? 255 : exponent + (127 - 15);
    return float_of_bits(sign | exponent << 23 | mantissa << 13);
}

void vlm_safetensors_to_f32(float *to, const void *from, enum vlm_safetensors_dtype dtype, size_t n)
{
    const uint16_t *bits = from;
    const double *doubles = from;
    switch (dtype) {
    case VLM_SAFETENSORS_F32:
        if (to != from && n)
            memcpy(to, from, n * sizeof(*to));
        break;
    case VLM_SAFETENSORS_BF16: /* the upper half of a float */
        for (size_t i = 0; i < n; i++)
            to[i] = float_of_bits((uint32_t)bits[i] << 16);
        break;
    case VLM_SAFETENSORS_F16:
        for (size_t i = 0; i < n; i++)
            to[i] = half_to_float(bits[i]);
        break;
    case VLM_SAFETENSORS_F64:
        for (size_t i = 0; i < n; i++)
            to[i] = (float)doubles[i];
        break;
    default:
        VLM_BUG_IF(!vlm_safetensors_is_float(dtype));
    }
}

/* All exponent bits set. Asked of the bits, so that no compiler's idea of arithmetic answers it. */
static bool is_nonfinite(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return (bits & 0x7f800000) == 0x7f800000;
}

size_t vlm_safetensors_first_nonfinite(const float *values, size_t n)
{
    unsigned any = 0; /* no branch in the loop that runs over good values */
    for (size_t i = 0; i < n; i++)
        any |= is_nonfinite(values[i]);
    size_t i = any ? 0 : n;
    while (i < n && !is_nonfinite(values[i]))
        i++;
    return i;
}

int vlm_safetensors_fail_nonfinite(const char *name, enum vlm_safetensors_dtype dtype,
                                   size_t number, float value, struct vlm_err *err)
{
    return vlm_fail(err, VLM_EFORMAT, "tensor '%s': value %zu is %s%s",
                    vlm_safetensors_quote(name).text, number,
                    value != value ? "NaN"
                    : value > 0    ? "Inf"
                                   : "-Inf",
                    dtype == VLM_SAFETENSORS_F64 ? " as a float" : "");
}

struct vlm_safetensors_quoted vlm_safetensors_quote(const char *text)
{
    struct vlm_safetensors_quoted quoted;
    enum { ESCAPE_MAX = 12, ELLIPSIS = 4 };
    size_t left = strlen(text), used = 0;
    while (left && used + ESCAPE_MAX + ELLIPSIS <= sizeof(quoted.text)) {
        size_t n = vlm_utf8_valid_at(text, left);
        uint32_t code_point = n ? vlm_utf8_decode(text, &n) : (uint8_t)*text;
        if (code_point >= 0x20 && code_point < 0x7f && code_point != '\\')
            quoted.text[used++] = (char)code_point;
        else
            used += (size_t)snprintf(quoted.text + used, ESCAPE_MAX, "\\u%04" PRIx32, code_point);
        n = n ? n : 1;
        text += n;
        left -= n;
    }
    memcpy(quoted.text + used, left ? "..." : "", left ? ELLIPSIS : 1);
    return quoted;
}

struct vlm_safetensors_shape_text vlm_safetensors_shape(const size_t *shape, unsigned rank)
{
    struct vlm_safetensors_shape_text out;
    size_t used = 1;
    out.text[0] = '[';
    for (unsigned i = 0; i < rank; i++)
        used += (size_t)snprintf(out.text + used, sizeof(out.text) - used, "%s%zu", i ? ", " : "",
                                 shape[i]);
    memcpy(out.text + used, "]", 2);
    return out;
}

void *vlm_safetensors_grow(void *old, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return old;
    size_t larger = *capacity ? 2 * *capacity : 64;
    void *memory = realloc(old, larger * size); /* counts are limited: no overflow */
    if (memory)
        *capacity = larger;
    return memory;
}
