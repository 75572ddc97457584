#!/usr/bin/env bash
# Benchmarks that print ratios to a baseline of the same run. Absolute times
# depend on the machine; ratios are what to compare.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
go test -run '^$' -bench . -benchtime "${BENCHTIME:-1s}" -count "${BENCHCOUNT:-1}" \
  ./internal/alliance/file ./internal/right ./internal/route ./internal/journal ./internal/ledger \
  ./internal/settle ./internal/gateway ./internal/provider/upstreamsim "$@" | tee build/bench.txt
