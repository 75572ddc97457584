#!/usr/bin/env bash
# Runs every fuzz target for a short time each (FUZZTIME, default 20s).
set -euo pipefail
cd "$(dirname "$0")/.."
grep -rlE '^func Fuzz' --include=*_test.go internal | while read -r file; do
  dir=$(dirname "$file")
  grep -oE '^func Fuzz[A-Za-z]+' "$file" | sed 's/func //' | while read -r target; do
    echo "fuzz: $dir $target"
    go test "./$dir" -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-20s}"
  done
done
