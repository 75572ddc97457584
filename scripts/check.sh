#!/usr/bin/env bash
# Formatting, vet, staticcheck, tidy modules, and words that do not belong.
set -euo pipefail
cd "$(dirname "$0")/.."
fail=0
say() { printf 'check: %s\n' "$*"; }

bad=$(go tool -modfile=tools/go.mod gofumpt -l cmd internal examples || true)
[ -z "$bad" ] || { say "not formatted (go tool -modfile=tools/go.mod gofumpt -w .):"; echo "$bad"; fail=1; }
go vet ./... || fail=1
go tool -modfile=tools/go.mod staticcheck ./... || fail=1
[ -z "$(go mod tidy -e -diff 2>/dev/null)" ] || { say "go.mod is not tidy: run go mod tidy"; fail=1; }
go mod verify >/dev/null || { say "a module differs from go.sum"; fail=1; }
if git grep -nIwE 'TODO|FIXME' -- cmd internal bench examples docs README.md; then
  say "unfinished work is marked in the tree"; fail=1
fi
if git grep -nIE 'registry\.npmjs|proxy\.golang|pypi\.org|files\.pythonhosted' -- ':!scripts/check.sh'; then
  say "a registry's address is in the tree"; fail=1
fi
if command -v govulncheck >/dev/null 2>&1; then
  govulncheck ./... || { say "a vulnerability is reachable"; fail=1; }
else
  say "govulncheck is not installed: known vulnerabilities were not looked for"
fi
go test ./internal/archtest || fail=1
[ $fail -eq 0 ] && say "clean"
exit $fail
