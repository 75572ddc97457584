#!/usr/bin/env bash
# Measures what Accordo adds, against baselines of the same run: one table and
# build/bench.json. Arguments go to bench/speed (--quick: one short round).
# With GOBENCH=1 the packages' own benchmarks run as well. Absolute times
# depend on the machine; ratios are what to compare.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
if [ "${GOBENCH:-}" = 1 ]; then
  go test -run '^$' -bench . -benchtime "${BENCHTIME:-1s}" -count "${BENCHCOUNT:-1}" \
    ./internal/alliance/file ./internal/right ./internal/route ./internal/journal ./internal/ledger \
    ./internal/settle ./internal/gateway ./internal/provider/upstreamsim | tee build/bench.txt
fi
go build -o build/speed ./bench/speed
exec build/speed "$@"
