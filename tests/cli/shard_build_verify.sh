# Times, sizes in memory and the name of the shipped tokenizer are cut out; everything else of the report is a function of the seed.
vlm-make-crawl -n 20 --seed 3 -q -o crawl
vlm-shard crawl -o out -q --json |
    sed 's/"seconds": [0-9.e-]*/"seconds": S/; s/"peak_rss": [0-9]*/"peak_rss": N/; s/[0-9a-f]\{64\}/SHA256/g; s/"id": "[^"]*", "codebook_size": [0-9]*/"id": "ID", "codebook_size": K/'
vlm-shard verify out
echo "verify: exit $?"
ls -A out
