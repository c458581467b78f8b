# Wrong usage, each in a sentence.
vlm-plot -o curves.svg
vlm-plot run
vlm-plot run -o curves.svg --x hours
vlm-plot run -o curves.svg --metrics ,
