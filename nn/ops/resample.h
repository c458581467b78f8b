/* resample.h - images made larger or smaller without weights.
 *
 *   h = vlm_upsample(tape, h);                 // [N, H, W, C] -> [N, 2H, 2W, C]
 *   h = vlm_space_to_depth(tape, x, 4);        // [N, H, W, C] -> [N, H/4, W/4, 16 C]
 *   v = vlm_mean_pixels(tape, h);              // [N, H, W, C] -> [N, C] */
#ifndef VLM_NN_RESAMPLE_H
#define VLM_NN_RESAMPLE_H

#include "nn/tape.h"

/* Nearest neighbour, twice as large: y(n, r, c) = x(n, r / 2, c / 2). dx = the sum of its four dy. */
struct vlm_tensor *vlm_upsample(struct vlm_tape *tape, struct vlm_tensor *x);

/* The mean of 2 x 2 pixels, as torch.nn.AvgPool2d(2): an odd last row or column is left out. */
struct vlm_tensor *vlm_downsample(struct vlm_tape *tape, struct vlm_tensor *x);

/* The mean of all pixels, or of all rows of a sequence: x [N, ..., C] -> [N, C]; 0 of none. */
struct vlm_tensor *vlm_mean_pixels(struct vlm_tape *tape, struct vlm_tensor *x);

/* Blocks of block x block pixels become channels: y(n, r, c, (i * block + j) * C + k)
 * = x(n, r * block + i, c * block + j, k); block divides H and W. This is TensorFlow's order (and "DCR"
 * of ONNX). torch.nn.PixelUnshuffle has k * block^2 + i * block + j: permute the weights that follow. */
struct vlm_tensor *vlm_space_to_depth(struct vlm_tape *tape, struct vlm_tensor *x, size_t block);

/* Its inverse; block^2 divides C. */
struct vlm_tensor *vlm_depth_to_space(struct vlm_tape *tape, struct vlm_tensor *x, size_t block);

#endif
