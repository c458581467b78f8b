# A file that is not text is refused; in a folder it is left out.
mkdir folder
printf 'ab\0' >folder/x.bin
printf 'abab abab' >folder/x.txt
vlm-tokenize train folder --vocab-size 280 -o x.json
vlm-tokenize train folder/x.bin --vocab-size 280 -o y.json
status=$?
ls
exit $status
