#!/bin/sh
# The server: its answers are right (beside vlm-train eval and vlm-generate), and bad requests cost only themselves.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

if ! find_python; then
    echo 'skipped serve: no Python 3.9 (PYTHON names one)'
elif ! serve_model; then
    not_ok serve 'no model'
else
    export PYTHONDONTWRITEBYTECODE=1
    "$python" "$TESTS/reference/serve_answers.py" run/model out || not_ok answers "exit status $?"
    "$python" "$TESTS/reference/serve_hostile.py" run/model || not_ok 'hostile requests' "exit status $?"
fi
