/* loss_row.h - what the two cross-entropies share: weights of rows, and the softmax of one row.
 *
 * Internal to nn/ops/vocabulary_loss.c and nn/ops/cross_entropy.c. */
#ifndef VLM_NN_LOSS_ROW_H
#define VLM_NN_LOSS_ROW_H

#include "base/vlm.h"

#include <math.h>

/* Columns of a block of logits: a row of it is read twice while it is in the first cache. */
enum { LOSS_COLS = 2048 };

/* The softmax of a row as far as its blocks have been seen. */
struct row_softmax {
    float largest; /* of the logits */
    double sum;    /* of exp(z - largest); NaN once a block had a logit that is not finite */
    double total;  /* of z */
};

static inline struct row_softmax row_softmax_begin(void)
{
    return (struct row_softmax){ .largest = -INFINITY };
}

/* Takes in a block: its largest logit, its sum of exp(z - largest), its sum of z. */
static inline void row_softmax_fold(struct row_softmax *row, float largest, float sum, float total)
{
    float new = largest > row->largest ? largest : row->largest;
    row->sum = row->sum * exp((double)row->largest - (double)new) +
               (double)sum * exp((double)largest - (double)new);
    row->total += (double)total;
    row->largest = new;
}

/* log sum exp z. */
static inline double row_softmax_log_sum(const struct row_softmax *row)
{
    return (double)row->largest + log(row->sum);
}

/* 1 / sum of the weights; 0 when that is 0: then the loss and its gradients are 0. */
static inline double loss_scale(double weight_sum)
{
    return weight_sum != 0 ? 1 / weight_sum : 0;
}

#endif
