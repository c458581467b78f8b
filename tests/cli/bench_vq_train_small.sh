# A step on two small crops: the members of the result, and that it learns.
vlm-bench vq-train --kind vq-xs --batch 2 --size 32 --repeat 3 -j2 --json >result
tr ',' '\n' <result | sed -n 's/^[{ ]*"\([a-z_]*\)": .*/\1/p'
