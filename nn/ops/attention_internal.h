/* attention_internal.h - what the two directions of attention share. */
#ifndef VLM_NN_ATTENTION_INTERNAL_H
#define VLM_NN_ATTENTION_INTERNAL_H

#include "nn/gemm.h"
#include "nn/ops/attention.h"

struct attention {
    struct vlm_attention of;
    const struct vlm_attention_kernels *kernels;
    const struct vlm_gemm_kernels *gemm;
    bool bf16;
    size_t element;      /* bytes of a number in a panel */
    size_t mr, nr;       /* rows of a panel of A, of B */
    size_t rows, keys;   /* R and S */
    size_t size;         /* of a head */
    size_t depth;        /* the same as k of a panel: rounded up to a pair */
    size_t group;        /* heads that share a head of keys */
    size_t row_cols;     /* of the result */
    float scale, factor; /* of scores; the same times log2 e */
    float *log_sum;      /* [heads][rows], for the backward pass, or NULL */
};

static inline size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Takes bytes from memory that is being laid out; only counts when *at began at NULL. */
static inline void *carve(char **at, size_t count, size_t size)
{
    void *p = *at;
    *at = (char *)((uintptr_t)*at + round_up(count * size, VLM_MEMORY_ALIGN));
    return p;
}

/* Row `row` and what follows of a head of t, as x(row, column of the head). */
static inline struct vlm_operand head_rows(const struct vlm_tensor *t, size_t col, size_t row)
{
    size_t cols = vlm_tensor_cols(t), at = row * cols + col;
    struct vlm_operand x = { .row = cols, .col = 1 };
    if (t->dtype == VLM_BF16)
        x.bits = t->bits + at;
    else
        x.f32 = t->data + at;
    return x;
}

/* x(p, i) */
static inline struct vlm_operand transposed(struct vlm_operand x)
{
    size_t row = x.row;
    x.row = x.col;
    x.col = row;
    return x;
}

/* Copies n rows of k numbers close together: packing reads them piece by piece and several times,
 * and rows of a wide tensor fall on few places of the first cache. */
static inline struct vlm_operand gathered(void *to, struct vlm_operand x, size_t n, size_t k)
{
    enum { AHEAD = 8, LINE = 64 };
    size_t size = x.bits ? sizeof(uint16_t) : sizeof(float);
    const char *from = x.bits ? (const char *)x.bits : (const char *)x.f32;
    for (size_t i = 0; i < n; i++, from += x.row * size) {
        for (size_t c = 0; i + AHEAD < n && c < k * size; c += LINE)
            __builtin_prefetch(from + AHEAD * x.row * size + c);
        memcpy((char *)to + i * k * size, from, k * size);
    }
    return (struct vlm_operand){
        .f32 = x.bits ? NULL : to, .bits = x.bits ? to : NULL, .row = k, .col = 1
    };
}

/* Packs x(i, p), i < n, p < k, into panels of `width` that are `step` bytes apart. */
static inline void pack_panels(const struct attention *a, void *panel, size_t width, size_t step,
                               struct vlm_operand x, size_t n, size_t k)
{
    for (size_t i = 0; i < n; i += width) {
        char *to = (char *)panel + i / width * step;
        size_t rows = VLM_MIN(width, n - i), at = i * x.row;
        if (x.bits)
            a->gemm->pack_bits(to, width, x.bits + at, rows, k, x.row, x.col);
        else if (a->bf16)
            a->gemm->pack_bf16(to, width, x.f32 + at, rows, k, x.row, x.col);
        else
            a->gemm->pack_f32((float *)(void *)to, width, x.f32 + at, rows, k, x.row, x.col);
    }
}

static inline void multiply_panels(const struct attention *a, const struct vlm_gemm_block *block)
{
    if (a->bf16)
        a->gemm->block_bf16(block);
    else
        a->gemm->block_f32(block);
}

/* Keys that row r sees. */
static inline uint32_t visible_keys(const struct attention *a, size_t r)
{
    return a->of.hi[r] > a->of.lo[r] ? a->of.hi[r] - a->of.lo[r] : 0;
}

/* The backward pass, and the scratch it takes (nothing else when the tape is dry). */
void vlm_attention_gradients(struct vlm_tape *tape, const struct attention *a,
                             const struct vlm_tensor *out);

#endif
