#!/bin/sh
# run.sh BIN BUILD PROGRAM... - runs the unit tests PROGRAM... and the exact-output cases of
# tests/cli with the programs in BIN. The last line is "N passed, N failed, N skipped"; exits 1
# when something failed or nothing ran.
#
# A case is tests/cli/NAME.sh. It runs in an empty folder with BIN first in PATH; its output, error
# output and exit status must equal NAME.stdout, NAME.stderr (absent: empty) and NAME.exit (absent:
# 0). $TESTS is the folder tests/. A case that only prints "skipped: REASON" is skipped.
# ACCEPT=1 writes these files anew; CASE=PATTERN runs only the cases and programs that match.
set -u
export LC_ALL=C TZ=UTC

bin=$(cd "$1" && pwd) || exit 1
build=$2
shift 2
root=$(pwd)
TESTS=$root/tests
export TESTS
if [ -z "${VLM_SHARED_DATA:-}" ] && [ -d ../shared/data ]; then
    VLM_SHARED_DATA=$(cd ../shared/data && pwd)
fi
[ -z "${VLM_SHARED_DATA:-}" ] || export VLM_SHARED_DATA
# Options that the caller has in the environment must not change results.
for variable in $(env | sed -n 's/^\(VLM_[A-Z0-9_]*\)=.*/\1/p'); do
    [ "$variable" = VLM_SHARED_DATA ] || unset "$variable"
done

# Programs built with SAN meet sizes that no memory has as the others do: with NULL.
for variable in ASAN_OPTIONS TSAN_OPTIONS; do
    eval "export $variable=\"\${$variable:+\$$variable:}allocator_may_return_null=1\""
done

mkdir -p "$build" || exit 1
scratch=$(mktemp -d "$(cd "$build" && pwd)/tests.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0 skipped=0
limit=600 # seconds for one program or case

wanted() {
    case ${CASE:-} in
    '') return 0 ;;
    esac
    # shellcheck disable=SC2254  # CASE is a pattern
    case $1 in
    $CASE) return 0 ;;
    esac
    return 1
}

count() { # PATTERN FILE
    grep -c "$1" "$2" || true
}

# cmocka prints verdicts on stdout and its summary on stderr. A test without a verdict failed in
# its set-up, or the program died in it.
run_program() {
    out=$scratch/out err=$scratch/err
    timeout $limit "$1" >"$out" 2>"$err"
    status=$?
    ran=$(count '^\[ RUN      \] ' "$out")
    ok=$(count '^\[       OK \] ' "$out")
    skip=$(count '^\[  SKIPPED \] ' "$out")
    bad=$((ran - ok - skip))
    # What a crash left in the buffers of the program is lost, its exit status is not.
    if [ "$bad" -eq 0 ] && { [ $status -ne 0 ] || [ "$ran" -eq 0 ]; }; then
        bad=1
    fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    if [ "$bad" -gt 0 ]; then
        echo "FAILED $1 (exit status $status)"
        sed 's/^/    /' "$out" "$err" | grep -v '\[ RUN  \|\[       OK ' | tail -n 60
    elif [ "$skip" -gt 0 ]; then
        echo "ok     $1: $ok passed, $skip skipped"
        grep -v '^\[' "$out" | sed 's/^/    /' | sort -u | tail -n 5
    else
        echo "ok     $1: $ok passed"
    fi
}

accept_case() { # CASE-WITHOUT-SUFFIX: keeps the files as small as the rules above allow
    cp "$scratch/out" "$1.stdout"
    rm -f "$1.stderr" "$1.exit"
    [ ! -s "$scratch/err" ] || cp "$scratch/err" "$1.stderr"
    [ "$status" = 0 ] || echo "$status" >"$1.exit"
}

run_case() { # NAME.sh
    case=${1%.sh} name=$(basename "${1%.sh}")
    mkdir "$scratch/case" || exit 1
    (cd "$scratch/case" && PATH=$bin:$PATH exec timeout $limit sh "$1") \
        >"$scratch/out" 2>"$scratch/err" </dev/null
    status=$?
    chmod -R u+rwX "$scratch/case"
    rm -rf "$scratch/case"
    if [ $status -eq 0 ] && [ "$(wc -l <"$scratch/out")" -eq 1 ] && grep -q '^skipped: ' "$scratch/out"; then
        skipped=$((skipped + 1))
        echo "skip   $name: $(cut -c 10- "$scratch/out")"
        return
    fi
    if [ "${ACCEPT:-}" = 1 ]; then
        accept_case "$case"
        passed=$((passed + 1))
        return
    fi
    problem=
    for stream in stdout:out stderr:err; do
        expected=$case.${stream%:*}
        [ -f "$expected" ] || expected=/dev/null
        if ! diff -u --label "expected ${stream%:*}" --label "${stream%:*}" "$expected" \
            "$scratch/${stream#*:}" >"$scratch/diff"; then
            problem="$problem ${stream%:*}"
            sed 's/^/    /' "$scratch/diff" | head -n 40 >>"$scratch/report"
        fi
    done
    expected=0
    [ ! -f "$case.exit" ] || expected=$(cat "$case.exit")
    [ "$status" = "$expected" ] || problem="$problem exit status $status instead of $expected"
    if [ -n "$problem" ]; then
        failed=$((failed + 1))
        echo "FAILED tests/cli/$name.sh:$problem"
        [ ! -f "$scratch/report" ] || cat "$scratch/report"
        rm -f "$scratch/report"
    else
        passed=$((passed + 1))
    fi
}

for program in "$@"; do
    ! wanted "$(basename "$program")" || run_program "$program"
done
before=$((passed + failed))
for script in "$root"/tests/cli/*.sh; do
    [ -f "$script" ] || continue
    ! wanted "$(basename "$script" .sh)" || run_case "$script"
done
echo "ran    tests/cli: $((passed + failed - before)) cases"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
