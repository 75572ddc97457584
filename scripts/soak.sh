#!/usr/bin/env bash
# Serves through faults for SOAK (default 30m) and demands flat memory, flat
# goroutines, no open intent and balanced books that agree with the invoices.
# `make test` runs the same for ten seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
exec env ACCORDO_SOAK="${SOAK:-30m}" go test ./internal/e2e -run '^TestSoak$' -count=1 -v -timeout 25h
