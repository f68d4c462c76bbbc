#!/bin/sh
# What is a memory worth to a classifier that sees a long document through a window of 64 words? Prints, as markdown, the
# test accuracy in percent of every memory over several seeds, the same model that sees only its last window (`last`)
# among them: mean, standard deviation, the gain over `last`, and the processor's seconds of one training.
#   bench/long_documents.sh PROGRAM [DATA_SET...] [-- TRAINING OPTION...]
#   bench/long_documents.sh PROGRAM --short        made-up documents, one seed, a few seconds
# PROGRAM is mat-classify. The data sets are folders of MAT_DATA_DIR/cls with train.tsv, valid.tsv and test.tsv.
# SEEDS (1 2 3), MEMORIES (last pool cache tokens delta neural), SEGMENT (64) and THREADS (1) are taken from the
# environment.
set -eu
program=$1
shift
data=${MAT_DATA_DIR:-$(dirname "$0")/../../shared/data}/cls
seeds=${SEEDS:-1 2 3}
memories=${MEMORIES:-last pool cache tokens delta neural}
segment=${SEGMENT:-64}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

sets=""
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  sets="$sets $1"
  shift
done
[ $# -eq 0 ] || shift
if [ "$sets" = " --short" ]; then
  # The first words of a document tell its class; what follows is the same for all.
  data=$work/cls sets=made-up segment=8 seeds=${SEEDS:-1}
  mkdir -p "$data/made-up"
  for part in train valid test; do
    awk -v part="$part" 'BEGIN {
      split("stars planets comets orbits", sky); split("rivers oceans waves tides", water)
      for (i = 0; i < (part == "train" ? 120 : 40); ++i) {
        line = (i % 2 ? "sky\t" sky[int(i / 2) % 4 + 1] : "water\t" water[int(i / 2) % 4 + 1])
        for (t = 0; t < 20 + i % 7; ++t) line = line " word" (7 * i + 3 * t) % 11
        print line
      }
    }' >"$data/made-up/$part.tsv"
  done
  set -- --dim 16 --hidden 32 --heads 2 --filters 8 --buckets 100 --batch-examples 8 --epochs 8 --lr 0.01 "$@"
else
  # Dropout inside of the encoder costs time and gains nothing here; runs of two words tell more than parts of words.
  set -- --epochs 6 --batch-examples 16 --batch-tokens 16384 --lr 0.003 --filters 64 --word-ngrams 2 --max-chars 0 \
    --dropout 0 --word-dropout 0.1 "$@"
fi
[ -n "$sets" ] || sets="newsgroups20_long polarity_docs"

# The processor's seconds of all programs so far.
spent() {
  times >"$work/times"
  awk 'END { for (i = 1; i <= 2; ++i) { split($i, part, /[ms]/); sum += 60 * part[1] + part[2] } print sum }' "$work/times"
}

echo "| data | memory | accuracy | sd | gain over last | seconds | seeds |"
echo "|---|---|---|---|---|---|---|"
for name in $sets; do
  last=""
  for memory in $memories; do
    : >"$work/results"
    for seed in $seeds; do
      spent >"$work/before"
      "$program" train --train "$data/$name/train.tsv" --valid "$data/$name/valid.tsv" --out "$work/model" \
        --segment "$segment" --memory "$memory" --seed "$seed" --threads "${THREADS:-1}" "$@" >/dev/null \
        2>"$work/errors" || { cat "$work/errors" >&2 && exit 1; }
      spent >"$work/after"
      "$program" test "$work/model" "$data/$name/test.tsv" | awk 'END { print 100 * $2 }' >"$work/accuracy"
      paste -d " " "$work/accuracy" "$work/before" "$work/after" >>"$work/results"
    done
    [ "$memory" != last ] || last=$(awk '{ sum += $1 } END { print sum / NR }' "$work/results")
    awk -v name="$name" -v memory="$memory" -v last="$last" '
      { x[NR] = $1; sum += $1; seconds += $3 - $2 }
      END {
        mean = sum / NR
        for (i = 1; i <= NR; ++i) squares += (x[i] - mean) ^ 2
        sd = (NR > 1) ? sqrt(squares / (NR - 1)) : 0
        gain = (last == "") ? "" : sprintf("%+.1f", mean - last)
        printf "| %s | %s | %.1f | %.1f | %s | %.1f | %d |\n", name, memory, mean, sd, gain, seconds / NR, NR
      }' "$work/results"
  done
done
