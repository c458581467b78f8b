vlm-bench gemm --shape 16x3072
