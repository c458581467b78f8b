# The text of --help, and the exact sentence of what is not understood.
vlm-serve --help
vlm-serve --paralel 4
echo "exit status $?" >&2
vlm-serve --version | sed 's/ (compiler.*//'
