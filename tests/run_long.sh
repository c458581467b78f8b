#!/bin/sh
# run_long.sh BIN BUILD - runs tests/long/*.sh, each in an empty folder with BIN first in PATH. A script
# prints "ok NAME", "not ok NAME: WHY" or "skipped NAME: WHY" for each of its checks. The last line is
# "N passed, N failed, N skipped"; exits 1 when something failed or nothing ran.
#
# $TESTS is the folder tests/, $BUILD that of the unit tests. CASE=PATTERN runs only the scripts that match. VLM_SHARED_DATA may name a
# folder of real crawls; checks that need it are skipped without.
set -u
export LC_ALL=C TZ=UTC

bin=$(cd "$1" && pwd) || exit 1
build=$2
TESTS=$(pwd)/tests
PATH=$bin:$PATH
export TESTS PATH
if [ -z "${VLM_SHARED_DATA:-}" ] && [ -d ../shared/data ]; then
    VLM_SHARED_DATA=$(cd ../shared/data && pwd)
fi
[ -z "${VLM_SHARED_DATA:-}" ] || export VLM_SHARED_DATA
# Options that the caller has in the environment must not change results.
for variable in $(env | sed -n 's/^\(VLM_[A-Z0-9_]*\)=.*/\1/p'); do
    [ "$variable" = VLM_SHARED_DATA ] || unset "$variable"
done

mkdir -p "$build" || exit 1
BUILD=$(cd "$build" && pwd)
export BUILD
scratch=$(mktemp -d "$(cd "$build" && pwd)/long.XXXXXX") || exit 1
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
passed=0 failed=0 skipped=0

wanted() { # NAME
    # shellcheck disable=SC2254  # CASE is a pattern
    case $1 in
    ${CASE:-*}) return 0 ;;
    esac
    return 1
}

for script in "$TESTS"/long/*.sh; do
    name=$(basename "$script" .sh)
    wanted "$name" || continue
    mkdir "$scratch/$name" || exit 1
    began=$(date +%s)
    (cd "$scratch/$name" && exec timeout -k 10 600 sh "$script") >"$scratch/out" 2>"$scratch/err" </dev/null
    status=$?
    rm -rf "${scratch:?}/$name"
    cat "$scratch/out"
    ok=$(grep -c '^ok ' "$scratch/out")
    bad=$(grep -c '^not ok ' "$scratch/out")
    skip=$(grep -c '^skipped ' "$scratch/out")
    # A script that ended early has not checked what it should.
    if [ $status -ne 0 ] || [ $((ok + bad + skip)) -eq 0 ]; then
        echo "not ok $name: exit status $status"
        bad=$((bad + 1))
    fi
    [ "$bad" -eq 0 ] || tail -n 20 "$scratch/err" | sed 's/^/    /'
    echo "    $name: $(($(date +%s) - began)) seconds"
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ] && [ $passed -gt 0 ]
