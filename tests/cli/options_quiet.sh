vlm-make-crawl -qn1 -o a && vlm-make-crawl --pages=1 --no-quiet --output=b | sed 's/; .* in/; N in/'
ls a b
