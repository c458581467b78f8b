#!/bin/sh
# The server among requests that nobody would make, and in poor places: few descriptors, little memory, a full disk, kills.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

if ! find_python; then
    echo 'skipped serve_wild: no Python 3.9 (PYTHON names one)'
elif ! serve_model; then
    not_ok serve_wild 'no model'
else
    export PYTHONDONTWRITEBYTECODE=1
    "$python" "$TESTS/reference/serve_wild.py" run/model 15 || not_ok 'wild requests' "exit status $?"
    "$python" "$TESTS/reference/serve_hardship.py" run/model || not_ok hardship "exit status $?"
fi
