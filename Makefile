# Accordo. `make up` builds, fetches the model and serves; `make test` tests.
GO      ?= go
BIN     := bin/accordo
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unversioned)
LDFLAGS := -s -w -X main.version=$(VERSION)
ARGS    ?=
TAGS    ?=

export CGO_ENABLED ?= 0

.PHONY: build up test check bench soak deps fuzz clean

build: ## bin/accordo
	@mkdir -p bin
	$(GO) build -trimpath -tags "$(TAGS)" -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/accordo

up: build ## build, fetch engine and weights once, serve the example
	@$(BIN) up $(ARGS)

deps: build ## what the tests need besides Go: engine, weights, SDKs, browser
	@scripts/deps.sh

test: deps ## every test, with the race detector where a C compiler is found
	@scripts/test.sh

check: ## formatting, vet, staticcheck, vulnerabilities, tidy
	@scripts/check.sh

bench: build ## benchmarks, as ratios to a baseline of the same run
	@scripts/bench.sh $(ARGS)

soak: ## the real program through faults for SOAK (30m): flat memory, balanced books
	@scripts/soak.sh

fuzz: ## every fuzz target for FUZZTIME each
	@scripts/fuzz.sh

clean:
	rm -rf bin build
