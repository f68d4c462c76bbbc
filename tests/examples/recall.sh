#!/bin/sh
# Drives mat-recall as its users do, with a few steps: the table, JSON, the report, and mistakes.
#   recall.sh PROGRAM FOLDER            FOLDER is emptied
set -eu
. "$(dirname "$0")/support.sh"

echo "all memories"
"$program" --steps 3 --out report.html >table 2>progress
equal "the lines of the table" "$(grep -c '^|' table)" 7
equal "the memories" "$(sed -n 's/^| \([a-z]*\) .*/\1/p' table | tr '\n' ' ')" "memory none cache tokens delta neural "
equal "the columns" "$(awk -F'|' '/^[|]/ { print NF }' table | sort -u)" 15
equal "the lines of progress" "$(wc -l <progress | tr -d ' ')" 5

echo "the report"
equal "its first line" "$(head -n 1 report.html)" "<!DOCTYPE html>"
equal "its last line" "$(tail -n 1 report.html)" "</html>"
if grep -Eq 'https?:|src=|<link|@import|url\(' report.html; then fail "the report needs other files"; fi
equal "lines of the charts" "$(grep -c '^<g><title>' report.html)" 10
grep -q nan report.html && fail "the report has a number that is none"
awk '# Every tag is closed, in order, but those that have no end. Scripts and styles are no tags.
  { text = text $0 "\n" }
  END {
    gsub(/<script[^>]*>[^<]*<\/script>/, "", text)
    while (match(text, /<[^>]*>/)) {
      tag = substr(text, RSTART + 1, RLENGTH - 2); text = substr(text, RSTART + RLENGTH)
      if (tag ~ /^!/ || tag ~ /^meta / || tag ~ /\/$/) continue
      name = tag; sub(/[ \n].*/, "", name)
      if (name !~ /^\//) { open[++depth] = name; continue }
      if (depth == 0 || "/" open[depth--] != name) { print "<" tag "> closes nothing"; exit 1 }
    }
    if (depth > 0) { print "<" open[depth] "> is not closed"; exit 1 }
  }' report.html || fail "the report is not well formed"

echo "some memories, JSON, the same again"
"$program" --memory none,delta --steps 2 --out - --json >one.json 2>/dev/null
case $(cat one.json) in
  '{"memories":[{"memory":"none","parameters":'*'{"memory":"delta",'*'}]}') ;;
  *) fail "JSON is $(cat one.json)" ;;
esac
[ ! -e - ] || fail "--out - wrote a file"
"$program" --memory none,delta --steps 2 --out - --json --threads 2 >two.json 2>/dev/null
costs='s/"microseconds_per_word":[^,]*,"seconds":[^,]*,//g'
equal "a second training" "$(sed "$costs" two.json)" "$(sed "$costs" one.json)"

echo "mistakes"
mkdir folder
refused 2 "--out is a folder: folder" --out folder --steps 0
refused 1 "DurableFile: none/report cannot be created: No such file or directory" --out none/report --steps 0
"$program" --memory brain >/dev/null 2>&1 && fail "a memory that there is not" || equal "its status" $? 2
"$program" --steps -1 >/dev/null 2>&1 && fail "negative steps" || equal "their status" $? 2
"$program" --help | grep -q memory || fail "--help does not tell of memories"
echo "all is well"
