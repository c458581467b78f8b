/* eigen.c - LAPACK's divide and conquer, as OpenBLAS has it, with an order and signs of our own. */
#include "base/vlm.h"

#include "nn/eigen.h"

#include <math.h>

/* Debian's OpenBLAS has LAPACK inside, its header is in another package. Fortran: all by address. */
extern void dsyevd_(const char *job, const char *half, const int *n, double *a, const int *stride,
                    double *values, double *work, const int *work_size, int *work_int,
                    const int *work_int_size, int *info);

static void swap_rows(double *a, double *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

static void fix_sign(double *row, size_t n)
{
    size_t largest = 0;
    for (size_t i = 1; i < n; i++)
        if (fabs(row[i]) > fabs(row[largest]))
            largest = i;
    for (size_t i = 0; row[largest] < 0 && i < n; i++)
        row[i] = i == largest ? row[i] : -row[i];
    row[largest] = fabs(row[largest]);
}

int vlm_eigen_symmetric(double *a, double *values, size_t n, struct vlm_err *err)
{
    const int size = (int)n, work_size = 1 + 6 * size + 2 * size * size,
              work_int_size = 3 + 5 * size;
    int info = 0;
    VLM_BUG_IF(n == 0 || n > 16384);
    double *work = calloc((size_t)work_size, sizeof(*work));
    int *work_int = calloc((size_t)work_int_size, sizeof(*work_int));
    if (!work || !work_int)
        info = -1;
    else
        dsyevd_("V", "L", &size, a, &size, values, work, &work_size, work_int, &work_int_size,
                &info);
    free(work);
    free(work_int);
    if (info)
        return info < 0 ? vlm_fail(err, VLM_ENOMEM, "no memory for the axes of a matrix")
                        : vlm_fail(err, VLM_EFAIL, "LAPACK's dsyevd gave %d", info);
    /* Fortran's columns are our rows; rising becomes falling. */
    for (size_t i = 0; i < n / 2; i++) {
        double t = values[i];
        values[i] = values[n - 1 - i];
        values[n - 1 - i] = t;
        swap_rows(a + i * n, a + (n - 1 - i) * n, n);
    }
    for (size_t i = 0; i < n; i++)
        fix_sign(a + i * n, n);
    return VLM_OK;
}
