#!/usr/bin/env bash
# Runs every test. What `make deps` found is handed over in the environment;
# under CI (CI=true) a test that misses its need fails instead of skipping.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -f build/deps.env ] && . build/deps.env
race=()
if command -v gcc >/dev/null 2>&1; then
  export CGO_ENABLED=1
  race=(-race)
else
  echo "test: no C compiler, so the race detector is off"
fi
go test "${race[@]}" -shuffle=on -timeout 15m ./... "$@"
if [ ${#race[@]} -gt 0 ]; then
  # With the race detector the simulated year is a quarter: here is all of it.
  go test -timeout 15m -run '^TestYear$' ./internal/app
fi
