vlm-bench vqgan --channels 16
