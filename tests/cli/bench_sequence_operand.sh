vlm-bench sequence --recipe m3w
