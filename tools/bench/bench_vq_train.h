/* bench_vq_train.h - vlm-bench vq-train: the training step of the small tokenizers. */
#ifndef VLM_TOOLS_BENCH_VQ_TRAIN_H
#define VLM_TOOLS_BENCH_VQ_TRAIN_H

int vlm_bench_vq_train(int argc, char **argv);

#endif
