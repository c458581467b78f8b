vlm-bench step --tokens 4096 --seq 1000
