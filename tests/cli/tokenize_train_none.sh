# No text: exit status 4, no file.
: >empty.txt
vlm-tokenize train empty.txt --vocab-size 300 -o x.json
status=$?
ls
exit $status
