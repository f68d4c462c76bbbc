#!/bin/sh
# Drives mat-lm as its users do: trains with every memory, writes on, streams in pieces, and is killed in between.
#   lm.sh PROGRAM FOLDER          FOLDER is emptied
set -eu
. "$(dirname "$0")/support.sh"

train() { # OUT ARGUMENT...
  out=$1
  shift
  $before "$program" train --train text --valid text --out "$out" --dim 16 --hidden 32 --heads 2 --layers 1 --segment 8 \
    --lanes 4 --segments 2 --lr 0.01 "$@" 2>progress
}

i=0
while [ $i -lt 60 ]; do
  echo "round and round it goes"
  i=$((i + 1))
done >text

for memory in none cache tokens delta additive neural knn delta-cache; do
  line=$(train "$memory.safetensors" --memory $memory --steps 60)
  case $line in
    "$memory.safetensors: "*" parameters, memory $memory, validation "*" nats per character") ;;
    *) fail "training with $memory prints $line" ;;
  esac
done

# A saved model, the last of them, has the loss that its training measured, also by place.
"$program" measure $memory.safetensors text --places >measured
loss=$(head -n 1 measured | cut -d ' ' -f 1)
equal "what is measured" "$(head -n 1 measured | cut -d ' ' -f 2-4,6-)" "nats per character, bits, 1440 characters"
case $line in
  *", validation $loss nats per character") ;;
  *) fail "measured are $loss, in training $line" ;;
esac
equal "the places" "$(tail -n +2 measured | cut -f 1 | tr '\n' ' ')" "1 2 3 4 5 6 7 8 "
printf a >letter
refused 1 "letter has fewer than 2 characters" measure knn.safetensors letter

# The same seed writes the same text, whatever the number of threads.
one=$("$program" sample delta.safetensors --prompt "round" --length 40 --threads 1)
equal "a sample" "$("$program" sample delta.safetensors --prompt "round" --length 40 --threads 2)" "$one"
equal "its beginning" "$(printf %s "$one" | head -c 5)" "round"
greedy=$("$program" sample delta.safetensors --prompt "round and" --length 1 --temperature 0)
equal "what follows" "$greedy" "round and "

# A stream that is stopped and goes on says what one that was not stopped says.
head -n 10 text | "$program" stream delta.safetensors >whole
head -n 4 text | "$program" stream delta.safetensors --state state >parts
cp state state4
head -n 10 text | tail -n 6 | "$program" stream delta.safetensors --state state | tail -n 5 >>parts
equal "lines of a stream in two parts" "$(cut -f 2,3 parts)" "$(sed 5d whole | cut -f 2,3)"
equal "a late line in two parts" "$(tail -n 1 parts)" "$(tail -n 1 whole)"

# A stream that is told to end leaves its state, and so does one whose reader has gone.
mkfifo pipe
"$program" stream delta.safetensors --state told <pipe >told.out &
exec 3>pipe
head -n 4 text >&3
while [ "$(wc -l <told.out)" -lt 4 ]; do :; done
kill $!
wait $! || fail "a stream that was told to end has status $?"
exec 3>&-
cmp told state4 || fail "a stream that was told to end leaves another state"
head -n 100 text | "$program" stream delta.safetensors --state gone 2>/dev/null | head -n 1 >/dev/null
[ -e gone ] || fail "a stream without a reader leaves no state"

# A training that is killed and resumed ends with the same bytes.
train whole.safetensors --memory tokens --steps 200 >/dev/null
{ before=exec; train killed.safetensors --memory tokens --steps 200 --save-every 5 >/dev/null; } &
while [ ! -e killed.safetensors.training ] && [ ! -e killed.safetensors ]; do :; done
kill -9 $! 2>/dev/null || true
wait $! 2>/dev/null || true
train killed.safetensors --memory tokens --steps 200 --save-every 5 --resume >/dev/null
cmp killed.safetensors whole.safetensors || fail "a killed training ends with another model"
# What was being written at the kill may be there still, as killed.safetensors.training.tmp-N; nothing reads it.
[ ! -e killed.safetensors.training ] || fail "a finished training left its checkpoint"

refused 2 "there is no command, expected train, measure, sample or stream (or --help)"
refused 1 "FileReader: nowhere cannot be opened: No such file or directory" train --train nowhere --out x
refused 2 "--memory: both not in {none,cache,tokens,delta,additive,neural,knn,delta-cache}" train --train text --out x --memory both
mkdir folder
refused 2 "--out is a folder: folder" train --train text --out folder
cp text copy
refused 2 "--out would replace text" train --train text --out ./text
refused 2 "--state would replace delta.safetensors" stream delta.safetensors --state delta.safetensors
cmp text copy || fail "a training replaced its text"
