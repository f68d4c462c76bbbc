#!/bin/sh
# How well do mat and vanilla classify, over several seeds? Prints one row for each data set and model: the test accuracy
# in percent (mean and standard deviation over the seeds) and the seconds of one training.
#   bench/classification.sh PROGRAM [DATA_SET...] [-- TRAINING OPTION...]
#   bench/classification.sh PROGRAM --short        made-up sentences, two seeds, a few seconds
# PROGRAM is mat-classify. The data sets are folders of MAT_DATA_DIR/cls with train.tsv, valid.tsv and test.tsv.
# SEEDS (1 2 3) and MODELS (mat vanilla) are taken from the environment; THREADS (1) too.
set -eu
program=$1
shift
data=${MAT_DATA_DIR:-$(dirname "$0")/../../shared/data}/cls
seeds=${SEEDS:-1 2 3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

sets=""
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  sets="$sets $1"
  shift
done
[ $# -eq 0 ] || shift
if [ "$sets" = " --short" ]; then
  data=$work/cls sets=made-up seeds=${SEEDS:-1 2}
  "$program" demo --write "$data/made-up"
  set -- --dim 32 --hidden 64 --buckets 2000 --epochs 8 --lr 0.005 --embedding-rate 1 \
    --dropout 0 --embedding-dropout 0 --pooled-dropout 0 "$@"
fi
[ -n "$sets" ] || sets="trec6 sst2"

echo "| data | model | accuracy | sd | seconds | seeds |"
echo "|---|---|---|---|---|---|"
for name in $sets; do
  for model in ${MODELS:-mat vanilla}; do
    : >"$work/results"
    for seed in $seeds; do
      start=$(date +%s.%N)
      "$program" train --train "$data/$name/train.tsv" --valid "$data/$name/valid.tsv" --out "$work/model" \
        --model "$model" --seed "$seed" --threads "${THREADS:-1}" "$@" >/dev/null 2>"$work/errors" ||
        { cat "$work/errors" >&2 && exit 1; }
      end=$(date +%s.%N)
      accuracy=$("$program" test "$work/model" "$data/$name/test.tsv" | awk 'END { print 100 * $2 }')
      echo "$accuracy $start $end" >>"$work/results"
    done
    awk -v name="$name" -v model="$model" '
      { x[NR] = $1; sum += $1; seconds += $3 - $2 }
      END {
        mean = sum / NR
        for (i = 1; i <= NR; ++i) squares += (x[i] - mean) ^ 2
        sd = (NR > 1) ? sqrt(squares / (NR - 1)) : 0
        printf "| %s | %s | %.1f | %.1f | %.1f | %d |\n", name, model, mean, sd, seconds / NR, NR
      }' "$work/results"
  done
done
