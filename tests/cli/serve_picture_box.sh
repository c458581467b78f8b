# The confined reader of pictures is no verb for people.
vlm-serve picture-box 3>&-
