#!/bin/sh
# CM3 on toy pictures of 16 codes: captions from the picture, hidden words and codes from both sides, each against
# its control. About four minutes on two cores; the measured values go to standard error.
vlm-learn shapes 2>seconds >figures
status=$?
grep -v '^ok \|^not ok ' figures >&2
grep '^ok \|^not ok ' figures | sed 's/^ok /ok cm3_learns /; s/^not ok /not ok cm3_learns /'
[ $status -le 1 ] || echo "not ok cm3_learns: vlm-learn ended with $status: $(tail -1 seconds)"
