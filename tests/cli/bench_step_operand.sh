vlm-bench step --dtype bf16 6x512
