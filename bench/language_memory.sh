#!/bin/sh
# What is a memory worth to a character model of tiny Shakespeare that sees 64 characters at once? Trains the same model
# without a memory, on random windows, which is where it is best, and with memories, on random windows that begin with
# what was before them, all with 12 times 64 characters a step, and prints the loss on the whole validation part, read as
# a stream: mean and worst of the seeds, and the gain over the model without a memory.
#   bench/language_memory.sh PROGRAM [TRAINING OPTION...]
# PROGRAM is mat-lm. The text is that of MAT_DATA_DIR/lm/tinyshakespeare. SEEDS (1 2 3), MEMORIES (none cache
# delta-cache delta) and THREADS (1) are taken from the environment.
set -eu
program=$1
shift
data=${MAT_DATA_DIR:-$(dirname "$0")/../../shared/data}/lm/tinyshakespeare
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# What was found to be best for each memory.
options() {
  case $1 in
    none) echo "--segments 1 --restart 1" ;;
    cache) echo "--memory-rows 32 --segments 1 --restart 1 --warm 1 --cold 0.5" ;;
    delta-cache) echo "--memory-rows 16 --segments 2 --lanes 6 --restart 1 --warm 1 --cold 0.5" ;;
    *) echo "--memory-layer 1 --hidden 448 --segments 2 --lanes 6 --restart 1" ;;
  esac
}

echo "| memory | options | parameters | nats per character | worst | gain over none | seeds |"
echo "|---|---|---|---|---|---|---|"
none=""
for memory in ${MEMORIES:-none cache delta-cache delta}; do
  : >"$work/results"
  for seed in ${SEEDS:-1 2 3}; do
    # shellcheck disable=SC2046 # options are several words
    "$program" train --train "$data/train.txt" --valid "$data/valid.txt" --out "$work/model" --memory "$memory" \
      --seed "$seed" --threads "${THREADS:-1}" --save-every 0 $(options "$memory") "$@" >"$work/line" \
      2>"$work/errors" || { cat "$work/errors" >&2 && exit 1; }
    sed 's/.*: \([0-9]*\) parameters.* validation \([0-9.]*\) .*/\1 \2/' "$work/line" >>"$work/results"
  done
  [ "$memory" != none ] || none=$(awk '{ sum += $2 } END { print sum / NR }' "$work/results")
  awk -v memory="$memory" -v options="$(options "$memory")" -v none="$none" '
    { sum += $2; if ($2 > worst) worst = $2; parameters = $1 }
    END {
      gain = (none == "" || memory == "none") ? "" : sprintf("%.2f%%", 100 * (1 - sum / NR / none))
      printf "| %s | `%s` | %s | %.4f | %.4f | %s | %d |\n", memory, options, parameters, sum / NR, worst, gain, NR
    }' "$work/results"
done
