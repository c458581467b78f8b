# A tokenizer whose weights are so large that only grey gives numbers: an image without codes is kept and
# counted, and the books balance.
base64 -d <<'END' | tar xzf -
H4sIAAAAAAACA+2X326CMBSHud5TNFyj459gvJo3ewljTIUymUINrTOb4aH2CLzMssdYS8QpQe80
y/x9CeHraXtKPDlN3Kar+NG4LrYiHAzqt6L97vAg8H2DDIwbsBGSFoQYd8pW1z/ieZK+9F8Fz69V
f13Qc/V3fee0/o5j245BbNT/6uzMhBcZleaImG+rrCf5kuXpByuIY1rEPAz1/DqiPT9OGAt9z3YT
Vy9Ypnm8n9PDiMdszvlyJtQmFXfDfXC2TWO5UBFPBWgRLVLJIrkp9KKduaYyUpNOYKnF2ZrnLJfC
HHll+WCAq/d/pgq06guaMMlywQtxy/73HDXZ6n/XdQP0/y34PtwDGaN53YyxfF/rtjSfvbrFxYLW
40kYDKdqHFNJZzxJBNM9Sia2RTw7dKelmptTkYrLWdQFcCaRzmIRVfzhsE7WXCaX8+krxutKVyfS
+QJHfVxJatDxAAAAAAAA3A9fn7SEw+FwOBwOh8Ph9+H4LeBwOBwOh8PhcPwHgMPhcDgcDofD4f/R
n6rfR3MYj7vnGpo1XXvq2Pgo1pHrON/JvsropDmrffbxXHNW+5uO95x8V9WRe9zKV3XEWg8AAAAA
AAAAAAAAAACAv84PzmCaxQBQAAA=
END
mkdir site
echo '<title>One</title><p>Red <img src="red.gif"><p>grey <img src="grey.gif">' >site/one.html
gif() { # RED GREEN BLUE
    # shellcheck disable=SC2059  # the colours are escapes
    printf "GIF89a\001\000\001\000\200\000\000\\$1\\$2\\$3\000\000\000,\000\000\000\000\001\000\001\000\000\002\002D\001\000;"
}
gif 377 000 000 >site/red.gif
gif 200 200 200 >site/grey.gif
vlm-shard site -o out -q --image-tokenizer wild --json |
    grep -o '"images": {[^}]*}\|"tokenizers": \[{[^}]*}}\]'
vlm-shard verify out
vlm-inspect cat out --render cm3 | grep -o 'src=\\"[^\\]\{9\}\|"codes": {[^,}]*'
vlm-inspect show out "$(vlm-inspect cat out | cut -c 9-40)" --width 70 -m wild | grep '^\['
vlm-inspect show out "$(vlm-inspect cat out | cut -c 9-40)" --width 70 | grep '^\['
vlm-inspect show out "$(vlm-inspect cat out | cut -c 9-40)" -m site 2>&1 | head -n 1
vlm-inspect summary out | grep '^codes'
