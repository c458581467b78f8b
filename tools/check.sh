#!/bin/sh
# check.sh - everything about the source that a machine can judge; `make check` runs it. All parts run
# even when one fails; the exit status is 1 when any did. The tests are `make test`.
set -u

failures=0
files=$(mktemp -d) || exit 1
trap 'rm -rf "$files"' EXIT
list() { # FIND-CONDITION - files of the tree, what was built apart
    find . \( -path ./build -o -path ./.git \) -prune -o -type f \( "$@" \) -print | sed 's,^\./,,' | sort
}
list -name '*.c' -o -name '*.h' >"$files/c"
list -name '*.sh' -not -path './tests/cli/*' -o -path ./.ci/run >"$files/sh"
list -path './tests/cli/*.sh' >"$files/cases"
list -name '*.[157]' >"$files/man"

part() { # NAME COMMAND...
    name=$1
    shift
    if "$@" >"$files/log" 2>&1; then
        echo "ok     $name"
    else
        echo "FAILED $name"
        sed 's/^/    /' "$files/log" | tail -n 60
        failures=$((failures + 1))
    fi
}

check_format() {
    ok=0
    while read -r file; do
        clang-format "$file" | cmp -s - "$file" || { echo "$file: 'make format' would change it"; ok=1; }
    done <"$files/c"
    return $ok
}

# Objects of a compiler of its own, so that warnings of both are seen and the release stays.
check_compiler() {
    tests=$(sed -n "s,^tests/\\(test_[a-z0-9_]*\\)\\.c\$,build/check-$1/tests/\\1.o,p" "$files/c")
    # shellcheck disable=SC2086  # the list is words
    make --silent --no-print-directory -j"$(nproc)" CC="$1" WERROR=-Werror \
        BUILD="build/check-$1" BIN="build/check-$1/bin" all $tests
}

check_cppcheck() {
    grep '\.c$' "$files/c" | xargs cppcheck -q -j "$(nproc)" --std=c11 --inline-suppr -I. \
        --enable=warning,portability --suppress=missingIncludeSystem --suppress=invalidPointerCast --suppress=objectIndex --suppress=normalCheckLevelMaxBranches \
        --suppress=unknownMacro --error-exitcode=1
}

check_shell() {
    xargs shellcheck <"$files/sh" && { [ ! -s "$files/cases" ] || xargs shellcheck -s sh <"$files/cases"; }
}

check_manuals() { [ ! -s "$files/man" ] || xargs mandoc -T lint -W warning <"$files/man"; }

# A function's braces stand alone in the first column (Linux style).
check_lengths() {
    xargs awk '
        FNR == 1 { if (name) ends(); name = FILENAME; lines = 0 }
        { lines = FNR }
        /^\{$/ { start = FNR }
        /^\}$/ && start {
            if (FNR - start - 1 > 100) { printf "%s:%d: function of %d lines\n", FILENAME, start, FNR - start - 1; bad = 1 }
            start = 0
        }
        function ends() { if (lines > 1000) { printf "%s: file of %d lines\n", name, lines; bad = 1 } }
        END { ends(); exit bad }' <"$files/c"
}

check_first_include() {
    # shellcheck disable=SC2016  # $0 is awk's
    grep '\.c$' "$files/c" | xargs awk '
        FNR == 1 { seen = 0 }
        !seen && /^[ \t]*#[ \t]*include/ {
            seen = 1
            if ($0 !~ /"base\/vlm\.h"/) { printf "%s:%d: the first include is not base/vlm.h\n", FILENAME, FNR; bad = 1 }
        }
        END { exit bad }'
}

part "layers" tools/layers.sh
part "format" check_format
part "lengths of files and functions" check_lengths
part "first include" check_first_include
part "shellcheck" check_shell
part "manual pages" check_manuals
part "gcc -Werror" check_compiler gcc
part "clang -Werror" check_compiler clang
part "cppcheck" check_cppcheck
[ $failures -eq 0 ] || {
    echo "$failures parts failed" >&2
    exit 1
}
