vlm-bench step --shape 6by512
