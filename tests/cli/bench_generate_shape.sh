vlm-bench generate --shape 6by512
