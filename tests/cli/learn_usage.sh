# vlm-learn: wrong usage in a sentence.
vlm-learn measure model
vlm-learn measure no-model shards shards
vlm-learn forget
