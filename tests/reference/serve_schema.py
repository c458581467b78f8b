"""schemathesis makes requests of /openapi.json, right ones and wrong ones, and looks at what comes back.

  python serve_schema.py MODEL [EXAMPLES]        # with the package schemathesis; 25 requests an operation unless said

No answer may be a 5xx, of a status or a content type that is not documented, or accept a body that the schema forbids."""

import importlib.util
import re
import subprocess
import sys

from serve_common import Server, end, request, skipped, verdict

CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
          "response_schema_conformance,negative_data_rejection,unsupported_method")


def main():
    if not importlib.util.find_spec("schemathesis"):
        skipped("schemathesis", "the Python module schemathesis is not installed")
        end()
    with Server(sys.argv[1], log="schema.log") as server:
        url = f"http://127.0.0.1:{server.port}"
        run = subprocess.run([sys.executable, "-m", "schemathesis.cli", "run", url + "/openapi.json", "--checks", CHECKS, "--max-examples",
                              (sys.argv + ["25"])[2], "--seed", "1", "--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-shrink", "--request-timeout", "60",
                              "--suppress-health-check", "all", "--warnings", "off"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        text = run.stdout.decode(errors="replace")
        with open("schemathesis.txt", "w") as f:
            f.write(text)
        cases = re.search(r"(\d+) generated", text)
        verdict(run.returncode == 0, "schemathesis", f"exit status {run.returncode}: " + text[-3000:].replace("\n", " | "), f"{cases[1] if cases else '?'} requests")
        verdict(server.alive() and request(server.port, "GET", "/health")[0] == 200, "alive afterwards", server.last_words())
    end()


main()
