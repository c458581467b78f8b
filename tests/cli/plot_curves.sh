# Two runs, one of them with a damaged line; the whole file, which must be the same on every machine.
mkdir small other
for step in 1 2 3 4; do
    echo "{\"step\": $step, \"loss\": $((8 - step)).5, \"loss_text\": $((6 - step)), \"lr\": 0.00$step, \"grad_norm\": 0.$step, \"tokens\": ${step}000}"
done >small/metrics.jsonl
echo '{"event": "eval", "step": 4, "loss": 4.75, "loss_text": 2.5}' >>small/metrics.jsonl
printf '{"step": 1, "loss": 7}\nno JSON\n{"step": 3, "loss": 5}\n{"step": 4, "lo' >other/metrics.jsonl
vlm-plot small other -o curves.svg --title 'small & other' --smooth 2
sed -n '/<\/style>/,$p' curves.svg
vlm-plot small other -o small/metrics.jsonl || wc -l <small/metrics.jsonl
