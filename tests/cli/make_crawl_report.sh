# The bytes depend on the compression library, the counts do not.
vlm-make-crawl -o crawl --json | sed 's/, "bytes": [0-9]*//'
vlm-make-crawl -o crawl --json -n 7 --no-damage --seed 2 --pages-per-file 3 --images-per-page 4 |
    sed 's/, "bytes": [0-9]*//'
