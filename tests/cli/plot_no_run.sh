# A folder that is no run.
mkdir run
vlm-plot run -o curves.svg
