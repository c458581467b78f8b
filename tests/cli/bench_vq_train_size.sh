vlm-bench vq-train --size 100
