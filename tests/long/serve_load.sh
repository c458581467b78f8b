#!/bin/sh
# The server under load: mixed requests, slow clients, clients that leave, too many, the same bytes among others, drains
# and kills. `python3 tests/reference/serve_load.py MODEL --full` has ten times the size.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

if ! find_python; then
    echo 'skipped serve_load: no Python 3.9 (PYTHON names one)'
elif ! serve_model; then
    not_ok serve_load 'no model'
else
    PYTHONDONTWRITEBYTECODE=1 "$python" "$TESTS/reference/serve_load.py" run/model || not_ok load "exit status $?"
fi
