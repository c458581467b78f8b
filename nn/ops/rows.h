/* rows.h - ops that move or combine whole rows: gather, scatter, concatenate, mean, normalise.
 *
 *   struct vlm_tensor *cls = vlm_gather_rows(&tape, x, first_row, sequences);
 *   struct vlm_tensor *both = vlm_concat_rows(&tape, 2, (struct vlm_tensor *[]){ text, image });
 *   struct vlm_tensor *seen = vlm_scatter_rows(&tape, text, rows, image, image_row);
 *   struct vlm_tensor *pooled = vlm_mean_rows(&tape, x, begin, end, sequences);
 *   struct vlm_tensor *z = vlm_l2_normalise(&tape, pooled, 1e-12f);
 *
 * A tensor counts as rows x cols (tensor.h). Arrays of row numbers belong to the caller and must stay
 * until the backward pass. A row number beyond the end is our own mistake and aborts. Sums over rows
 * that meet are made in row order by tasks that own some columns each, whatever the threads. */
#ifndef VLM_NN_ROWS_H
#define VLM_NN_ROWS_H

#include "nn/tape.h"

/* The numbers of x as `rows` rows of `cols`, in the same order: a view, nothing is copied, and the gradient
 * is handed through. x may be VLM_BF16. */
struct vlm_tensor *vlm_reshape_rows(struct vlm_tape *tape, struct vlm_tensor *x, size_t rows,
                                    size_t cols);

/* y_r = x[index_r] for r < rows: [rows, cols]. dx[index_r] += dy_r in the order of r. x may be VLM_BF16,
 * then so is y. */
struct vlm_tensor *vlm_gather_rows(struct vlm_tape *tape, struct vlm_tensor *x,
                                   const uint32_t *index, size_t rows);

/* y = base (or zeros when base is NULL) of `rows` rows in which row index_r is replaced by x_r; no
 * index twice. dx_r = dy[index_r]; dbase = dy where nothing was replaced. */
struct vlm_tensor *vlm_scatter_rows(struct vlm_tape *tape, struct vlm_tensor *base, size_t rows,
                                    struct vlm_tensor *x, const uint32_t *index);

/* The rows of part[0], then of part[1], ...: all of the same cols. count > 0. */
struct vlm_tensor *vlm_concat_rows(struct vlm_tape *tape, size_t count, struct vlm_tensor **part);

/* y_s = mean of x_r over begin_s <= r < end_s for s < segments; zeros where that is empty. Segments
 * may overlap. dx_r += dy_s / (end_s - begin_s) in the order of s. */
struct vlm_tensor *vlm_mean_rows(struct vlm_tape *tape, struct vlm_tensor *x, const uint32_t *begin,
                                 const uint32_t *end, size_t segments);

/* y_r = x_r / max(|x_r|, eps) with the Euclidean norm; dx = (dy - y <dy, y>) / |x|, or dy / eps for
 * shorter rows. */
struct vlm_tensor *vlm_l2_normalise(struct vlm_tape *tape, struct vlm_tensor *x, float eps);

#endif
