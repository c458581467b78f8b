vlm-shard -o out
