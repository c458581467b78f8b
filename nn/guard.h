/* guard.h - says whether a step may change the weights, from its loss and its gradient norm.
 *
 *   struct vlm_guard guard = { 0 };                        // or as it was saved
 *   for (each step) {
 *       ... forward, backward, norm = vlm_optimizer_norm(&optimizer) ...
 *       switch (vlm_guard_judge(&guard, loss, norm)) {
 *       case VLM_GUARD_ACCEPT:    update the weights; break;
 *       case VLM_GUARD_SKIP:      drop the gradients; log the ids of the samples; break;
 *       case VLM_GUARD_ROLL_BACK: load the last checkpoint; leave these samples out; break;
 *       }
 *   }
 *
 * A step is bad when its loss or norm is NaN or infinite, or more than VLM_GUARD_SIGMAS standard
 * deviations above the mean of the last VLM_GUARD_WINDOW accepted steps. Three bad steps in a row are
 * a reason to roll back. It is the skip-step optimiser of OLMo (AI2, OLMo-core), with three
 * differences: only accepted, finite values enter the window, so that one NaN does not switch the
 * guard off for as long as it stays there; only spikes upwards count, sudden good steps pass; and a
 * norm must be VLM_GUARD_TIMES the mean, too: with batches of some thousand tokens of pages that
 * differ, norms have a long tail of healthy steps beyond six deviations, which clipping is for.
 *
 * The struct has no pointers and is the whole state: it belongs into the checkpoint. */
#ifndef VLM_NN_GUARD_H
#define VLM_NN_GUARD_H

#include "base/vlm.h"

enum {
    VLM_GUARD_WINDOW = 128, /* accepted steps that are remembered */
    VLM_GUARD_BEGIN = 64,   /* of them before spikes are judged; NaN is judged from the first */
    VLM_GUARD_SIGMAS = 6,   /* standard deviations above the mean */
    VLM_GUARD_TIMES = 4,    /* and, of the norm, so many times the mean */
    VLM_GUARD_PATIENCE = 3, /* bad steps in a row until VLM_GUARD_ROLL_BACK */
};

enum vlm_guard_verdict { VLM_GUARD_ACCEPT, VLM_GUARD_SKIP, VLM_GUARD_ROLL_BACK };

struct vlm_guard {
    double loss[VLM_GUARD_WINDOW], norm[VLM_GUARD_WINDOW]; /* a ring */
    uint32_t count, next; /* values in it; where the next one goes */
    uint32_t bad_in_row;
    uint64_t accepted, skipped;  /* in all; skipped: roll-backs included */
    uint64_t not_finite, spikes; /* why they were skipped */
};

/* Judges a step and remembers it. After VLM_GUARD_ROLL_BACK the count of bad steps begins anew. */
enum vlm_guard_verdict vlm_guard_judge(struct vlm_guard *guard, double loss, double norm);

/* VLM_EFORMAT when the fields of a guard that was read from a file cannot be. */
VLM_MUST_CHECK int vlm_guard_check(const struct vlm_guard *guard, struct vlm_err *err);

#endif
