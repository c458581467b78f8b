/* safetensors_values.h - what other readers of tensors share with ours: values of a dtype as floats,
 * products and growing tables, names and shapes for sentences. */
#ifndef VLM_NN_SAFETENSORS_VALUES_H
#define VLM_NN_SAFETENSORS_VALUES_H

#include "nn/safetensors.h"

/* Whether the product of shape is countable; *count gets it. Factors are taken in their order, and
 * a 0 behind an overflow does not help. */
bool vlm_safetensors_product(size_t *count, const size_t *shape, unsigned rank);

bool vlm_safetensors_is_float(enum vlm_safetensors_dtype dtype);

/* n values of a floating-point dtype to floats; from is aligned for the dtype, to may be from only
 * for F32 (then nothing is done). */
void vlm_safetensors_to_f32(float *to, const void *from, enum vlm_safetensors_dtype dtype,
                            size_t n);

/* Index of the first NaN or infinity, or n. */
size_t vlm_safetensors_first_nonfinite(const float *values, size_t n);

/* The sentence about it. */
int vlm_safetensors_fail_nonfinite(const char *name, enum vlm_safetensors_dtype dtype,
                                   size_t number, float value, struct vlm_err *err);

/* text for a sentence: printable ASCII stays, other characters become \uXXXX, long ones are cut. */
struct vlm_safetensors_quoted {
    char text[96];
};
struct vlm_safetensors_quoted vlm_safetensors_quote(const char *text);

/* "[2, 3]" */
struct vlm_safetensors_shape_text {
    char text[VLM_SAFETENSORS_RANK_MAX * 22 + 3];
};
struct vlm_safetensors_shape_text vlm_safetensors_shape(const size_t *shape, unsigned rank);

/* Room for one more element of `size` bytes in an array of count: old, or a larger block that takes
 * its place. NULL: no memory; old is still the caller's. */
void *vlm_safetensors_grow(void *old, size_t count, size_t *capacity, size_t size);

#endif
