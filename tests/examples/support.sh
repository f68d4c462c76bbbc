# What the scripts beside this file share. Each is called with PROGRAM FOLDER and begins with
#   . "$(dirname "$0")/support.sh"
# which empties the folder and goes there.
program=$1
rm -rf "$2" && mkdir -p "$2" && cd "$2"
mkdir scratch
tab=$(printf '\t')

# Before the program's name in a function that trains: empty, or exec for a training that is to be killed,
#   { before=exec; train OUT; } &
# Without it $! is the number of a shell, which dies alone and leaves the training running.
before=

fail() {
  echo "FAILED: $*" >&2
  exit 1
}
equal() { # WHAT ACTUAL EXPECTED
  [ "$2" = "$3" ] || fail "$1 is
$2
expected
$3"
}
# refused STATUS MESSAGE ARGUMENT...: nothing on stdout, that one line on stderr, that status, and no new file.
refused() {
  status=$1 message=$2 actual=0
  shift 2
  files=$(ls)
  "$program" "$@" >scratch/out 2>scratch/err </dev/null || actual=$?
  equal "stderr of $*" "$(cat scratch/err)" "$(basename "$program"): $message"
  equal "status of $*" "$actual" "$status"
  equal "stdout of $*" "$(cat scratch/out)" ""
  equal "the files after $*" "$(ls)" "$files"
}
