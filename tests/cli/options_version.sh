vlm-make-crawl --version | sed 's/[0-9][0-9.]*[0-9]/N/; s/(compiler .*)/(compiler C)/'
