# A graph of the same form with a sixteenth of the work: the members of the result.
vlm-bench vqgan --channels 32 --kind maskgit --repeat 1 -j2 --json >result
tr ',' '\n' <result | sed -n 's/^[{ ]*"\([a-z_]*\)": .*/\1/p'
sed -n 's/.*"job": "\([a-z-]*\)".*/\1/p' result
