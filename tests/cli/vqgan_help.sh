# The program, its verbs, what it says without one, and a verb that it does not have.
vlm-vqgan --help
vlm-vqgan --version | sed 's/ .*//'
vlm-vqgan >out 2>&1
echo "$?, $(wc -l <out) lines"
vlm-vqgan encodes
echo $?
vlm-vqgan train --help | sed -n 1,6p
