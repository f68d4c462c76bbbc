#!/bin/sh
# How well does mat translate English to German after half an hour on two cores? Prints one row for each model: BLEU and
# chrF2 of test_2016_flickr, translated with a beam of 4, and the seconds of the training and of the translation.
#   bench/translation.sh PROGRAM [TRAINING OPTION...]
#   bench/translation.sh PROGRAM --short       made-up numbers, a few seconds
# PROGRAM is mat-translate. The data set is Multi30k in MAT_DATA_DIR/mt/multi30k. KINDS (vanilla), SEEDS (1) and THREADS (2)
# are taken from the environment; with OUT, the folder of that name keeps the models, reports and translations.
set -eu
program=$1
shift
data=${MAT_DATA_DIR:-$(dirname "$0")/../../shared/data}/mt/multi30k
test=test_2016_flickr
work=${OUT:-$(mktemp -d)}
mkdir -p "$work"
[ -n "${OUT:-}" ] || trap 'rm -rf "$work"' EXIT INT TERM

if [ "${1:-}" = --short ]; then
  shift
  "$program" demo --write "$work/numbers"
  data=$work/numbers test=test
  for side in en de; do # BLEU needs four words
    for part in train valid test; do
      head -n 2000 "$data/$part.$side" | paste -d ' ' - - - - >"$data/some" && mv "$data/some" "$data/$part.$side"
    done
  done
  set -- --pieces 120 --dim 32 --hidden 64 --heads 2 --layers 1 --epochs 3 --batch-tokens 1000 --warmup 20 "$@"
else # what was found for half an hour of two cores
  set -- --pieces 6000 --dim 128 --hidden 256 --heads 4 --layers 4 --epochs 12 --batch-tokens 2500 --lr 0.003 --warmup 400 \
    --dropout 0.1 --average-decay 0.998 "$@"
fi

echo "| model | seed | BLEU | chrF2 | seconds of training | of translation |"
echo "|---|---|---|---|---|---|"
for kind in ${KINDS:-vanilla}; do
  for seed in ${SEEDS:-1}; do
    name=$work/$kind-$seed
    start=$(date +%s.%N)
    "$program" train --src "$data/train.en" --tgt "$data/train.de" --valid-src "$data/valid.en" \
      --valid-tgt "$data/valid.de" --out "$name" --report "$name.html" --kind "$kind" --seed "$seed" \
      --threads "${THREADS:-2}" "$@" >"$name.log" 2>&1 || { cat "$name.log" >&2 && exit 1; }
    trained=$(date +%s.%N)
    "$program" translate "$name" --beam 4 --threads "${THREADS:-2}" <"$data/$test.en" >"$name.de"
    end=$(date +%s.%N)
    "$program" score --ref "$data/$test.de" "$name.de" >"$name.score"
    awk -v kind="$kind" -v seed="$seed" -v start="$start" -v trained="$trained" -v end="$end" '
      { sub(/^[^=]*= /, ""); score[NR] = $1 }
      END { printf "| %s | %s | %s | %s | %.0f | %.1f |\n", kind, seed, score[1], score[2], trained - start, end - trained }
    ' "$name.score"
  done
done
