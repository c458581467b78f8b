/* eigen.h - the axes of a symmetric matrix, by LAPACK. */
#ifndef VLM_NN_EIGEN_H
#define VLM_NN_EIGEN_H

#include "base/vlm.h"

/* a [n][n], symmetric -> its eigenvectors as rows, of length 1, by falling eigenvalue, the largest
 * number of each positive; values [n]. VLM_EFAIL when LAPACK (dsyevd) does not converge, which a
 * matrix of finite numbers never made it do. */
VLM_MUST_CHECK int vlm_eigen_symmetric(double *a, double *values, size_t n, struct vlm_err *err);

#endif
