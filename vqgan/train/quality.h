/* quality.h - how near reconstructions are to their originals, and how well a codebook is used.
 *
 *   struct vlm_quality quality;
 *   int rc = vlm_quality_init(&quality, codebook_size, &err);
 *   vlm_quality_add(&quality, original, reconstruction, codes);   // for each image
 *   struct vlm_quality_report report = vlm_quality_report(&quality);
 *   vlm_quality_release(&quality);
 *
 * Sums are made in the order of the calls: one thread adds, whoever made the images. */
#ifndef VLM_VQGAN_QUALITY_H
#define VLM_VQGAN_QUALITY_H

#include "vqgan/tokenizer/tokenizer.h"

/* Of 8-bit samples, in dB: 10 log10(255^2 / mean square difference), at most 100, which equal ones have. */
double vlm_psnr(const uint8_t a[VLM_SQUARE_BYTES], const uint8_t b[VLM_SQUARE_BYTES]);

/* Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", of
 * luma (BT.601): Gaussian window 11 x 11, sigma 1.5, K1 0.01, K2 0.03, mean over windows inside. */
double vlm_ssim(const uint8_t a[VLM_SQUARE_BYTES], const uint8_t b[VLM_SQUARE_BYTES]);

struct vlm_quality {
    uint64_t *uses; /* [codes] */
    size_t codes;
    uint64_t images;
    double psnr, ssim, l1, square, edge; /* sums over images */
};

struct vlm_quality_report {
    uint64_t images;
    double psnr, ssim;  /* means over images */
    double psnr_pooled; /* of the mean square difference of all images */
    double l1;          /* mean absolute difference of 8-bit samples */
    double edge_psnr;   /* PSNR of Sobel gradients: falls when blocks show */
    double usage;       /* 0 to 1: codes used at least once */
    double perplexity;  /* exp of the entropy of codes in nats */
    double entropy_bits;
    double top10_share; /* of the ten most frequent codes */
    size_t dead;        /* codes never used */
};

VLM_MUST_CHECK int vlm_quality_init(struct vlm_quality *quality, size_t codes, struct vlm_err *err);
void vlm_quality_add(struct vlm_quality *quality, const uint8_t original[VLM_SQUARE_BYTES],
                     const uint8_t reconstruction[VLM_SQUARE_BYTES],
                     const uint16_t codes[VLM_CODES]);
struct vlm_quality_report vlm_quality_report(const struct vlm_quality *quality);
void vlm_quality_release(struct vlm_quality *quality); /* safe on a zeroed struct */

#endif
