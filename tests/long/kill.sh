#!/bin/sh
# Killed at any moment, the next run ends with the same bytes and leaves nothing behind. The crawl is
# large enough for the build to take a second or more.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

vlm-make-crawl -n 2500 --pages-per-file 500 --seed 6 -q -o crawl
began=$(date +%s%N)
vlm-shard crawl -o reference -q 2>/dev/null
took=$((($(date +%s%N) - began) / 1000000))
expected=$(set_hash reference)

# A build in a process group of its own, killed after some milliseconds.
kill_after() { # SIGNAL MILLISECONDS group|parent
    setsid vlm-shard crawl -o out -q 2>/dev/null &
    pid=$!
    sleep "$(($2 / 1000)).$(printf %03d $(($2 % 1000)))"
    if [ "$3" = group ]; then
        for child in $(ps -o pid= --ppid $pid 2>/dev/null); do
            kill -"$1" "$child" 2>/dev/null
        done
    fi
    kill -"$1" $pid 2>/dev/null
    wait $pid
    status=$?
}

bad=0
for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    random $((took + 100))
    what=group
    [ $((turn % 2)) -eq 0 ] || what=parent
    kill_after KILL "$random" $what
    kills=1
    if [ $((turn % 4)) -eq 0 ]; then # two more in the recovery
        kill_after KILL $((random / 3)) $what
        kill_after KILL $((random / 5)) group
        kills=3
    fi
    vlm-shard crawl -o out -q 2>/dev/null
    result=$(check_set "kill" out "$expected")
    [ "$result" = "ok kill" ] || {
        bad=$((bad + 1))
        not_ok "kill $turn" "$kills of $what after $random ms: $result"
    }
    rm -rf out
done
[ $bad -ne 0 ] || ok "twenty moments of SIGKILL"

# During the seal: the work folder is there, and a part has begun.
setsid vlm-shard crawl -o out -q 2>/dev/null &
pid=$!
while [ -d /proc/$pid ] && ! ls out/part-*.tmp >/dev/null 2>&1; do :; done
if kill -KILL $pid 2>/dev/null; then
    wait $pid
    [ -f out/manifest.json ] && not_ok "kill during the seal" "it had ended"
    vlm-shard crawl -o out -q 2>/dev/null
    check_set "kill during the seal" out "$expected"
else
    echo "skipped kill during the seal: the seal was too fast"
fi
rm -rf out

# Asked to stop while units are made, and while a part is written. A shell reports 130 for a death by
# SIGINT as well as for that exit status, so the sentence must be there, too.
for case in INT:130:units TERM:143:units INT:130:seal TERM:143:seal; do
    signal=${case%%:*} phase=${case##*:} wanted=${case#*:}
    wanted=${wanted%:*}
    name="SIG$signal during the $phase"
    # A shell without job control ignores SIGINT for what it starts in the background.
    env --default-signal=INT vlm-shard crawl -o out -q 2>message &
    pid=$!
    if [ "$phase" = units ]; then
        sleep "0.$(printf %03d $((took / 3 % 1000)))"
    else
        while [ -d /proc/$pid ] && ! ls out/part-*.tmp >/dev/null 2>&1; do :; done
    fi
    kill -"$signal" $pid
    wait $pid
    status=$?
    if [ -f out/manifest.json ]; then
        echo "skipped $name: the build was too fast"
    elif [ $status -ne "$wanted" ]; then
        not_ok "$name" "exit status $status"
    elif ! grep -q 'stopped by a signal' message; then
        not_ok "$name" "it died of the signal"
    elif ls out/.work/*.tmp out/*.tmp >/dev/null 2>&1; then
        not_ok "$name" "temporary files are left"
    else
        ok "$name"
    fi
    vlm-shard crawl -o out -q 2>/dev/null
    check_set "going on after $name" out "$expected"
    rm -rf out
done
