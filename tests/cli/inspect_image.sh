# A 2x2 GIF of black pixels, the same cut short, no image at all, and no file.
printf 'GIF89a\2\0\2\0\200\0\0\0\0\0\377\377\377,\0\0\0\0\2\0\2\0\0\2\3\4\0\n\0;' >black.gif
head -c 30 black.gif >cut.gif
echo '<html><body>no image</body></html>' >page.jpg
vlm-inspect image black.gif cut.gif page.jpg absent.png black.gif --square squares
status=$?
ls squares
head -c 196608 /dev/zero | sha1sum # the square of black.gif
exit $status
