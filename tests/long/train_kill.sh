#!/bin/sh
# A training run is killed at any moment, again and again, also while a checkpoint is written, and goes on with
# another number of threads: model/ is whole at every moment, and the end has the bits of a run that nobody
# disturbed. Then the same with signals that can be caught.
# shellcheck source=tests/long_functions.sh
. "$TESTS/long_functions.sh"

vlm-make-crawl -n 40 --seed 9 -q -o crawl --no-damage
vlm-shard crawl -o shards -q 2>/dev/null
train() { # RUN THREADS
    exec env --default-signal=INT vlm-train shards -o "$1" -j "$2" --n-layer 1 --n-embd 32 --block-size 384 --batch-size 1 \
        --gradient-accumulation-steps 2 --max-iters 60 --eval-interval 13 --eval-documents 1 \
        --sample-interval 0 --checkpoint-interval 3 -q
}
result() { # RUN
    cat "$1/metrics.jsonl" "$1/model/model.safetensors" "$1/checkpoints/step-60/optimizer.safetensors" \
        "$1/checkpoints/step-60/trainer_state.json" 2>/dev/null | sha256sum
}
check_model() { # RUN - what stands in model/ is what SHA256SUMS says
    [ ! -d "$1/model" ] || (cd "$1/model" && sha256sum --quiet -c SHA256SUMS >/dev/null 2>&1)
}

(train reference 1)
expected=$(result reference)

kills=0 in_checkpoint=0 rounds=0 bad=0
while [ $kills -lt 50 ]; do
    random 2
    # shellcheck disable=SC2154  # of long_functions.sh
    (train run $((random + 1))) &
    pid=$!
    if [ $((kills % 2)) -eq 0 ]; then
        random 600
        sleep "0.$(printf %03d $((100 + random)))"
    else # as soon as a checkpoint is under way
        while [ -d /proc/$pid ] && ! ls -d run/checkpoints/*.tmp >/dev/null 2>&1; do :; done
    fi
    if kill -KILL $pid 2>/dev/null; then
        kills=$((kills + 1))
        ! ls -d run/checkpoints/*.tmp >/dev/null 2>&1 || in_checkpoint=$((in_checkpoint + 1))
    fi
    wait $pid 2>/dev/null
    check_model run || {
        bad=$((bad + 1))
        not_ok "kill $kills" "model/ is not whole"
    }
    if [ -d run/checkpoints/step-60 ]; then # it had ended, or nearly
        (train run 2)
        rounds=$((rounds + 1))
        [ "$(result run)" = "$expected" ] || {
            bad=$((bad + 1))
            not_ok "end of round $rounds" "other bits after $kills kills"
        }
        rm -rf run
    fi
done
(train run 1)
[ "$(result run)" = "$expected" ] || {
    bad=$((bad + 1))
    not_ok "the last round" "other bits after $kills kills"
}
[ -z "$(find run -name '*.tmp')" ] || {
    bad=$((bad + 1))
    not_ok "the last round" "temporary files are left"
}
[ $in_checkpoint -gt 0 ] || {
    bad=$((bad + 1))
    not_ok "kills in checkpoints" "there were none"
}
[ $bad -ne 0 ] || ok "fifty moments of SIGKILL, $((rounds + 1)) runs"
rm -rf run

# A shell without job control ignores SIGINT for what it starts in the background.
for case in INT:130 TERM:143; do
    signal=${case%:*} wanted=${case#*:}
    (train run 2) 2>message &
    pid=$!
    while [ -d /proc/$pid ] && [ ! -d run/checkpoints/step-6 ]; do sleep 0.02; done
    kill -"$signal" $pid
    wait $pid
    status=$?
    if [ -d run/checkpoints/step-60 ]; then
        echo "skipped SIG$signal: the run was too fast"
    elif [ $status -ne "$wanted" ]; then
        not_ok "SIG$signal" "exit status $status: $(cat message)"
    elif ! check_model run; then
        not_ok "SIG$signal" "model/ is not whole"
    else
        (train run 1)
        if [ "$(result run)" = "$expected" ]; then
            ok "SIG$signal, exit status $wanted, and going on"
        else
            not_ok "SIG$signal" "other bits after it"
        fi
    fi
    rm -rf run
done
