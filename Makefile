# make without a target says what there is.
.DEFAULT_GOAL := help
.PHONY: help build programs run test test-board bench lint generate clean

# Where Go's own instructions put it, for a shell that was not told.
export PATH := $(PATH):/usr/local/go/bin
# What codecs there are beside those that come with Go modules: see scripts/tags.
TAGS := $(shell scripts/tags)
# The version comes from git describe below. Stamping by the go command fails where git refuses a checkout of another user.
export GOFLAGS := $(GOFLAGS) -buildvcs=false $(if $(TAGS),-tags=$(TAGS))

VERSION := $(shell git describe --always --dirty 2>/dev/null || echo dev)
GOBUILD := go build -trimpath -ldflags '-s -w -X github.com/herald-im/herald/protocol.BuildVersion=$(VERSION)'
# herald has codecs in C and C++. Of these only the C library itself stays outside the program: see scripts/pkg-config.
export PKG_CONFIG := $(CURDIR)/scripts/pkg-config
export CGO_LDFLAGS := -static-libstdc++ -static-libgcc

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

build: ## bin/herald and bin/herald-hub
	@scripts/deps run
	@$(MAKE) --no-print-directory programs

programs:
	@echo "building bin/herald and bin/herald-hub"
	@mkdir -p bin
	@CGO_ENABLED=0 $(GOBUILD) -o bin/ ./cmd/herald-hub
	@CGO_ENABLED=1 $(GOBUILD) -o bin/ ./cmd/herald

run: build ## a hub and two boards in this terminal, talking to each other, until Ctrl-C
	@$(GOBUILD) -o bin/herald-demo ./test/demo
	@exec env HERALD_BIN_DIR=$(CURDIR)/bin bin/herald-demo

test: ## everything that CI does: lint, generated files, tests, 20 s of each fuzz target (FUZZTIME=…)
	@scripts/check

test-board: build ## the tests that want real drivers, on a board in software (qemu)
	@scripts/check board

bench: build ## measure, and write docs/benchmarks.md
	@scripts/deps bench
	@HERALD_BIN_DIR=$(CURDIR)/bin go run ./test/bench

lint: ## gofmt, go vet, staticcheck
	@scripts/check lint

generate: ## what is derived from the registry: docs/methods.md, vectors, docs/dependencies.txt
	@go generate ./protocol/... ./test/house/...

clean: ## remove what was built
	@rm -rf bin
