#!/bin/sh
# Drives mat-classify as its users do: files, pipes, mistakes, and a kill in the middle of a training.
#   classify.sh PROGRAM FOLDER          FOLDER is emptied
set -eu
. "$(dirname "$0")/support.sh"

train() { # EXAMPLES OUT ARGUMENT...
  examples=$1 model=$2
  shift 2
  "$program" train --train "$examples" --out "$model" --dim 16 --hidden 32 --heads 2 --buckets 200 \
    --batch-examples 8 --lr 0.01 "$@"
}

# Two labels, one with a space; the text of each has words of its own.
awk 'BEGIN {
  split("fine great lovely superb", good); split("dull poor boring awful", bad); split("film story song play", what)
  for (i = 0; i < 80; ++i) {
    label = i % 2 ? "very good" : "bad"
    print label "\t" "the " what[i % 3 + 1] " is " (i % 2 ? good[i % 4 + 1] : bad[i % 4 + 1]) " , said number " i
  }
}' >train.tsv
sed 's/said/wrote/' train.tsv | head -n 40 >test.tsv

echo "training and testing"
train train.tsv model --epochs 12 --valid test.tsv --log log.jsonl >train.out 2>train.err
equal "what train prints" "$(cat train.out)" "train.tsv: 80 examples, 2 labels, $(sed -n 's/.*labels, //p' train.out)
model: mat, $(sed -n 's/.*mat, //p' train.out)
validation accuracy 1.0000 (40/40)"
equal "the lines of progress" "$(wc -l <train.err | tr -d ' ')" 12
equal "the epochs in the log" "$(grep -c '"event":"epoch"' log.jsonl)" 12
"$program" test model test.tsv >test.out
equal "the last line of test" "$(tail -n 1 test.out)" "accuracy 1.0000 (40/40)"
equal "a class of test" "$(grep '^very good ' test.out | head -n 1)" "very good     1.0000  1.0000  1.0000        20"
case $("$program" test model test.tsv --json) in
  '{"accuracy":1.0,"correct":40,"total":40,"macro_f1":1.0,"classes":[{"label":"bad",'*'"taken_for":[0,20]}]}') ;;
  *) fail "test --json prints $("$program" test model test.tsv --json)" ;;
esac

echo "the same seed, any number of threads, and fastText's format give the same bytes"
train train.tsv one --epochs 12 --valid test.tsv --threads 1 >/dev/null 2>&1
train train.tsv two --epochs 12 --valid test.tsv --threads 2 >/dev/null 2>&1
cmp model one && cmp model two || fail "models of one seed differ"
train train.tsv other --epochs 12 --valid test.tsv --seed 1 >/dev/null 2>&1
if cmp -s model other; then fail "models of two seeds are equal"; fi
sed "s/^very good$tab/good$tab/" train.tsv >plain.tsv
sed "s/^\([a-z]*\)$tab/__label__\1 /" plain.tsv >fasttext.txt
train plain.tsv plain --epochs 2 >/dev/null 2>&1
train fasttext.txt fasttext --epochs 2 >/dev/null 2>&1
cmp plain fasttext || fail "the two formats give different models"

echo "predicting through a pipe, line by line"
mkfifo questions answers
"$program" predict model <questions >answers &
exec 3>questions 4<answers
for text in "the film is superb" "a dull song"; do
  echo "$text" >&3
  read -r answer <&4
  case "$text$tab$answer" in
    "the film is superb${tab}very good${tab}0."*) ;;
    "a dull song${tab}bad${tab}0."*) ;;
    *) fail "'$text' is answered by '$answer'" ;;
  esac
done
exec 3>&- 4<&-
wait $! || fail "predict ended with $?"
equal "the answers to 3 lines, one of them empty" "$(printf 'a song\n\nno end' | "$program" predict model | wc -l | tr -d ' ')" 3
equal "no answers" "$(printf '' | "$program" predict model)" ""
equal "the labels of an answer" "$(echo the film is superb | "$program" predict model --k 9 | cut -f 1,3)" "very good${tab}bad"
if printf 'good\nbad \377\n' | "$program" predict model >predict.out 2>predict.err; then fail "not UTF-8, but answered"; fi
equal "what predict says" "$(cat predict.err)" "mat-classify: standard input: line 2 is not UTF-8 at byte 5"
equal "the answers before" "$(wc -l <predict.out | tr -d ' ')" 1

echo "segments: the first words tell the class, the window sees two"
awk 'BEGIN {
  split("stars planets comets orbits", sky); split("rivers oceans waves tides", water)
  for (i = 0; i < 80; ++i) {
    line = (i % 2 ? "sky\t" sky[int(i / 2) % 4 + 1] : "water\t" water[int(i / 2) % 4 + 1])
    for (t = 0; t < 5 + i % 3; ++t) line = line " word" (7 * i + 3 * t) % 5
    print line
  }
}' >long.tsv
train long.tsv last --epochs 8 --filters 8 --segment 2 --memory last >/dev/null 2>&1
equal "what the last window tells" "$("$program" test last long.tsv | tail -n 1)" "accuracy 0.5000 (40/80)"
for memory in pool delta; do
  train long.tsv $memory --epochs 8 --filters 8 --segment 2 --memory $memory >train.out 2>/dev/null
  equal "what train prints" "$(sed -n '2s/,.*//p' train.out)" "$memory: $memory over segments of 2"
  equal "what $memory tells" "$("$program" test $memory long.tsv | tail -n 1)" "accuracy 1.0000 (80/80)"
done
printf 'orbits word1 word2 word3\r\n\ntides word4 word0 word1' | "$program" predict pool >answers.out
equal "the answers to 3 lines, one of them empty" "$(wc -l <answers.out | tr -d ' ')" 3
equal "the first and the last answer" "$(cut -f 1 answers.out | sed -n '1p;3p' | tr '\n' ' ')" "sky water "
awk 'BEGIN { printf "planets"; for (i = 0; i < 200000; ++i) printf " word%d", i % 5; printf "\nwaves word0\n" }' >long.txt
[ "$(head -n 1 long.txt | wc -c)" -gt 1048576 ] || fail "the line is too short for this test"
equal "the answers to a long line and a short one" "$("$program" predict pool <long.txt | wc -l | tr -d ' ')" 2
if "$program" predict model <long.txt >/dev/null 2>predict.err; then fail "a long line, but answered"; fi
equal "what predict says" "$(cat predict.err)" "mat-classify: standard input: line 1 has more than 1048576 bytes"
{ head -c 1200000 long.txt && printf ' bad \377\n'; } >bad.txt
if "$program" predict pool <bad.txt >/dev/null 2>predict.err; then fail "not UTF-8, but answered"; fi
equal "what predict says" "$(cat predict.err)" "mat-classify: standard input: line 1 is not UTF-8 at byte 1200006"

echo "mistakes on the command line"
refused 2 "--memory delta needs --segment" train --train train.tsv --out new --memory delta
refused 2 "--segment needs --model mat" train --train train.tsv --out new --segment 8 --model vanilla
refused 2 "--segment needs at least 1 of --layers" train --train train.tsv --out new --segment 8 --layers 0
refused 2 "--memory-rows: the value is 65537, expected a whole number of at least 0 and at most 65536" train --train train.tsv --out new --segment 8 \
  --memory cache --memory-rows 65537
refused 2 "--max-chars is 2, expected 0 or at least 3" train --train train.tsv --out new --max-chars 2
refused 2 "there is no command, expected demo, train, test or predict (or --help)"
refused 2 "'trian' is no command, expected demo, train, test or predict (or --help)" trian
refused 2 "--dim: the value is 0, expected a whole number of at least 1" train --train train.tsv --out new --dim 0
refused 2 "--lr: the value is x, expected a number in [0, 1000)" train --train train.tsv --out new --lr x
refused 2 "--dropout: the value is 1, expected a number in [0, 1)" train --train train.tsv --out new --dropout 1
refused 2 "--dim 10 is no multiple of --heads 4" train --train train.tsv --out new --dim 10 --heads 4
refused 2 "--out would replace train.tsv" train --train train.tsv --out ./train.tsv
refused 2 "--log would write to train.tsv" train --train train.tsv --out new --log train.tsv
refused 2 "--out and --log are one file: new" train --train train.tsv --out ./new --log new
refused 2 "--out: the path is empty" train --train train.tsv --out ""
mkdir folder
refused 2 "--out is a folder: folder" train --train train.tsv --out folder
"$program" train >/dev/null 2>&1 && fail "train without files" || equal "status of train" $? 2
"$program" --help >help.out
grep -q predict help.out || fail "--help does not tell of predict"

echo "bad files"
no_file="cannot be opened: No such file or directory"
refused 1 "FileReader: none $no_file" train --train none --out new
refused 1 "FileReader: none $no_file" train --train train.tsv --valid none --out new
refused 1 "FileReader: none $no_file" test none test.tsv
refused 1 "FileReader: none $no_file" test model none
refused 1 "FileReader: none $no_file" predict none
refused 1 "FileReader: folder cannot be read: Is a directory" test model folder
refused 1 "DurableFile: none/new cannot be created: No such file or directory" train --train train.tsv --out none/new
refused 1 "LogFile: none/log cannot be opened: No such file or directory" train --train train.tsv --out new --log none/log
: >bad.tsv
refused 1 "LabelledText: bad.tsv: there is no example, expected at least 1" train --train bad.tsv --out new
printf 'a\tone\nb two\n' >bad.tsv
refused 1 "LabelledText: bad.tsv: line 2 has no tab, expected label<TAB>text" train --train bad.tsv --out new
printf 'a\tone\n\ttwo\n' >bad.tsv
refused 1 "LabelledText: bad.tsv: line 2 has an empty label, expected label<TAB>text" train --train bad.tsv --out new
printf 'a\tone\nb\tna\357ve\n' >bad.tsv
refused 1 "LabelledText: bad.tsv: line 2 is not UTF-8 at byte 5" train --train bad.tsv --out new
printf 'a\tone\n__label__b two\n' >bad.tsv
refused 1 "LabelledText: bad.tsv: line 2 begins with __label__, expected label<TAB>text as on line 1" train --train bad.tsv --out new
printf 'a\tone\na\ttwo\n' >bad.tsv
refused 1 "bad.tsv has only the label 'a', expected at least 2" train --train bad.tsv --out new
printf 'bad\tone\nodd\ttwo\n' >bad.tsv
refused 1 "LabelledText: bad.tsv: line 2 has the label 'odd', expected one of 'bad', 'very good'" test model bad.tsv
refused 1 "LabelledText: bad.tsv: line 2 has the label 'odd', expected one of 'bad', 'very good'" \
  train --train train.tsv --valid bad.tsv --out new
refused 1 "load_classifier: test.out is no text classifier: the header has $(
  od -An -N8 -tu8 test.out | tr -d ' ') bytes, expected at most 100000000" test test.out test.tsv
head -c 100 model >cut
refused 1 "load_classifier: cut is no text classifier: the header has $(
  od -An -N8 -tu8 cut | tr -d ' ') bytes, of which the file holds 92" predict cut

echo "a training that is killed leaves the old model"
cp model kept
"$program" train --train train.tsv --out kept --epochs 1000000 >/dev/null 2>killed.err &
while [ "$(wc -l <killed.err)" -lt 2 ]; do
  kill -0 $! || fail "the training ended: $(cat killed.err)"
  sleep 0.1
done
kill -9 $!
wait $! 2>/dev/null || true
cmp model kept || fail "a killed training changed the model"
equal "the model after a killed training" "$("$program" test kept test.tsv | tail -n 1)" "accuracy 1.0000 (40/40)"
echo "all is well"
