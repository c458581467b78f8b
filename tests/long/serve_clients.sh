#!/bin/sh
# The server beside programs that others wrote: the official client of OpenAI's API (Python package openai), and schemathesis,
# which makes requests of /openapi.json. PYTHON names an interpreter that has them.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

openai_client() {
    if "$python" -c 'import openai' 2>/dev/null; then
        "$python" "$TESTS/reference/serve_openai.py" run/model || not_ok openai "exit status $?"
    else
        echo 'skipped openai: the Python module openai is not installed'
    fi
}

if ! find_python; then
    echo 'skipped serve_clients: no Python 3.9 (PYTHON names one)'
elif ! serve_model; then
    not_ok serve_clients 'no model'
else
    export PYTHONDONTWRITEBYTECODE=1
    openai_client
    "$python" "$TESTS/reference/serve_schema.py" run/model || not_ok schemathesis "exit status $?"
fi
