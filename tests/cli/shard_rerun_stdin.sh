# Standard input is copied into the work folder; nothing of it stays.
vlm-make-crawl -n 5 --seed 3 -q -o crawl
for run in 1 2; do
    cat crawl/*.gz | vlm-shard - -o out -q
    echo "run $run: exit $?"
    ls -A out
done
