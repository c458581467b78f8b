vlm-shard --help
