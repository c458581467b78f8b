vlm-bench ops linear nonsense
