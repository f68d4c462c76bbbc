#!/bin/sh
# Drives mat-translate as its users do: files, pipes, mistakes, and a kill in the middle of a training.
#   translate.sh PROGRAM FOLDER          FOLDER is emptied
set -eu
. "$(dirname "$0")/support.sh"

train() { # OUT ARGUMENT...
  model=$1
  shift
  $before "$program" train --src en --tgt de --out "$model" --pieces 60 --dim 16 --hidden 32 --heads 2 --layers 1 \
    --batch-tokens 120 --lr 0.01 --warmup 20 --dropout 0 --average-decay 0.9 "$@"
}
lines() { wc -l | tr -d ' '; }

# Sentences of a few words, each with one translation; and an empty pair, which is left out.
awk 'BEGIN {
  split("dog cat house", en); split("Hund Kater Ort", de); split("small old red", how); split("kleine alte rote", wie)
  for (i = 0; i < 90; ++i) {
    a = i % 3 + 1; b = int(i / 3) % 3 + 1
    print "the " how[b] " " en[a] " sleeps." >"en"; print "der " wie[b] " " de[a] " ruht." >"de"
  }
  print "" >"en"; print "" >"de"
}'
head -n 9 en >valid.en
head -n 9 de >valid.de

echo "training and translating"
train model --epochs 40 --valid-src valid.en --valid-tgt valid.de --log log.jsonl --report report.html \
  >train.out 2>train.err
equal "what train prints" "$(cat train.out)" "en: 90 pairs, $(sed -n 's/.*pairs, //p' train.out | head -n 1)
left out: 1 pairs with an empty side, 0 with more than 200 tokens
model: vanilla, $(sed -n 's/.*vanilla, //p' train.out)
validation BLEU 100.00 chrF2 100.00"
equal "the lines of progress" "$(lines <train.err)" 40
equal "the epochs in the log" "$(grep -c '"event":"epoch"' log.jsonl)" 40
for part in '<polyline class="curve"' '<rect' 'Where the decoder looked' '</html>'; do
  grep -q "$part" report.html || fail "the report has no $part"
done
if grep -q 'http' report.html; then fail "the report needs the network"; fi
"$program" translate model <valid.en >valid.out
cmp valid.out valid.de || fail "the translations are $(cat valid.out)"
for options in "--beam 1" "--batch 1" "--batch 4 --threads 2" "--length-penalty 0.6"; do
  # shellcheck disable=SC2086 # options are words
  "$program" translate model $options <valid.en | cmp - valid.de || fail "translate $options translates otherwise"
done
"$program" translate model --n-best 2 <valid.en >best.out
equal "the lines of the two best" "$(cut -f 1 best.out | tr '\n' ' ')" "1 1 2 2 3 3 4 4 5 5 6 6 7 7 8 8 9 9 "
awk -F "$tab" 'NR % 2' best.out | cut -f 3 | cmp - valid.de || fail "the best of two is another"
"$program" translate model --report translated.html <valid.en >/dev/null
grep -q '<rect' translated.html || fail "the report of translate shows nothing"

echo "no line is lost: empty ones, long ones, a last one without an end"
equal "empty lines" "$(printf '\n  \nthe old dog sleeps.\n\n' | "$program" translate model)" "

der alte Hund ruht."
printf '\n  \nthe old dog sleeps.\n\nthe red cat sleeps.' | "$program" translate model >empty.out
equal "the number of lines" "$(lines <empty.out)" 5
equal "the last line" "$(tail -n 1 empty.out)" "der rote Kater ruht."
{
  echo "the old dog sleeps."
  awk 'BEGIN { for (i = 0; i < 10000; ++i) printf "dog "; print "" }'
  echo "the red cat sleeps."
} | "$program" translate model --beam 1 >long.out
equal "the lines around a long one" "$(sed -n '1p;3p' long.out)" "der alte Hund ruht.
der rote Kater ruht."
equal "the number of lines with a long one" "$(lines <long.out)" 3
equal "no lines" "$(printf '' | "$program" translate model)" ""

echo "through a pipe, line by line"
mkfifo questions answers
"$program" translate model <questions >answers &
exec 3>questions 4<answers
for pair in "the small cat sleeps.:der kleine Kater ruht." ":" "the red house sleeps.:der rote Ort ruht."; do
  echo "${pair%%:*}" >&3
  read -r answer <&4
  equal "the answer to '${pair%%:*}'" "$answer" "${pair#*:}"
done
exec 3>&- 4<&-
wait $! || fail "translate ended with $?"
status=0
printf 'the old dog sleeps.\nb\377d\nthe red cat sleeps.\n' | "$program" translate model >bad.out 2>bad.err || status=$?
equal "what translate says" "$(cat bad.err)" "mat-translate: standard input: line 2 is not UTF-8 at byte 2"
equal "its status" "$status" 1
equal "the lines before" "$(cat bad.out)" "der alte Hund ruht."

echo "scores are sacrebleu's"
printf 'A dog runs over the wet grass.\nTwo men, sitting.\n' >hyp
printf 'A dog runs across the wet grass.\nTwo men are sitting.\n' >ref
scores='BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0 = 40.02 84.6/63.6/33.3/14.3 (BP = 1.000 ratio = 1.000 hyp_len = 13 ref_len = 13)
chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0 = 64.15'
equal "score" "$("$program" score --ref ref hyp)" "$scores"
equal "score of standard input" "$("$program" score --ref ref <hyp)" "$scores"

echo "the same seed and any number of threads give the same model; so does a training that is killed and goes on"
tensors() { # the numbers of a model: its history in the header has times
  header=$(od -An -N8 -tu8 "$1" | tr -d ' ')
  tail -c +$((header + 9)) "$1"
}
train one --epochs 3 --threads 1 >/dev/null 2>&1
train two --epochs 3 --threads 2 >/dev/null 2>&1
tensors one >one.bin
tensors two | cmp - one.bin || fail "models of one seed differ"
train other --epochs 3 --seed 1 >/dev/null 2>&1
if tensors other | cmp -s - one.bin; then fail "models of two seeds are equal"; fi
train long --epochs 60 >/dev/null 2>&1
{ before=exec; train killed --epochs 60 --checkpoint-seconds 0 >/dev/null 2>killed.err; } &
while [ "$(lines <killed.err)" -lt 3 ] || [ ! -f killed.training ]; do
  kill -0 $! || fail "the training ended: $(cat killed.err)"
  sleep 0.05
done
kill -9 $!
wait $! 2>/dev/null || true
[ -f killed.training ] || fail "a killed training leaves nothing to go on from"
[ ! -f killed ] || fail "a killed training left a model"
refused 1 "killed.training is of a training with other texts or settings, expected the same (or no such file)" \
  train --src en --tgt de --out killed
train killed --epochs 60 --checkpoint-seconds 0 >/dev/null 2>killed.err
equal "the first line" "$(head -n 1 killed.err)" "goes on from killed.training"
[ ! -f killed.training ] || fail "a finished training left its checkpoint"
tensors long >long.bin
tensors killed | cmp - long.bin || fail "the training that was killed gives another model"

echo "with a memory of the source"
for kind in mat_prior mat_literal; do
  train $kind --kind $kind --epochs 2 --valid-src valid.en --valid-tgt valid.de --report $kind.html >$kind.out 2>/dev/null
  grep -q "^$kind: $kind, " $kind.out || fail "train --kind $kind prints $(cat $kind.out)"
  grep -q 'class="memory"' $kind.html || fail "the report of $kind shows no memory"
  equal "the lines of $kind" "$("$program" translate $kind <valid.en | lines)" 9
done

echo "numbers to learn from"
"$program" demo --write numbers
equal "the numbers" "$(cat numbers/train.en numbers/valid.en numbers/test.en | sort -u | lines)" \
  "$(cat numbers/*.de | lines)"

echo "mistakes on the command line"
refused 2 "there is no command, expected demo, train, translate or score (or --help)"
refused 2 "'trian' is no command, expected demo, train, translate or score (or --help)" trian
refused 2 "--dim: the value is 0, expected a whole number of at least 1" train --src en --tgt de --out new --dim 0
refused 2 "--dim 10 is no multiple of --heads 4" train --src en --tgt de --out new --dim 10
refused 2 "--valid-src requires --valid-tgt" train --src en --tgt de --out new --valid-src valid.en
refused 2 "--out would replace en" train --src en --tgt de --out ./en
refused 2 "--report would replace de" train --src en --tgt de --out new --report de
refused 2 "--report would replace model" translate model --report model
refused 2 "--out and --report are one file: new" train --src en --tgt de --out new --report new
refused 2 "--log would write to en" train --src en --tgt de --out new --log en
mkdir folder
refused 2 "--out is a folder: folder" train --src en --tgt de --out folder
refused 2 "--n-best 5 is more than --beam 4" translate model --n-best 5
"$program" --help >help.out
grep -q translate help.out || fail "--help does not tell of translate"

echo "bad files"
no_file="cannot be opened: No such file or directory"
refused 1 "none $no_file" train --src none --tgt de --out new
refused 1 "none $no_file" train --src en --tgt de --out new --valid-src none --valid-tgt none
refused 1 "FileReader: none $no_file" translate none
refused 1 "none $no_file" score --ref none
refused 1 "folder cannot be read: Is a directory" score --ref folder
refused 1 "en has 91 lines, valid.de has 9, expected as many" train --src en --tgt valid.de --out new
refused 1 "standard input has 0 lines, ref has 2, expected as many" score --ref ref
refused 1 "valid.en has 9 lines, ref has 2, expected as many" score --ref ref valid.en
printf 'one\ntwo\n' >two
printf 'eins\nzw\377i\n' >bad
refused 1 "bad: line 2 is not UTF-8 at byte 3" train --src two --tgt bad --out new
printf '\n\n' >empty
refused 1 "train: the number of pairs with words on both sides is 0, expected at least 1" \
  train --src two --tgt empty --out new --pieces 20
refused 1 "DurableFile: none/new cannot be created: No such file or directory" train --src en --tgt de --out none/new
refused 1 "load_translator: ref is no translator: the header has $(
  od -An -N8 -tu8 ref | tr -d ' ') bytes, expected at most 100000000" translate ref
echo "all is well"
