# What people and machines run here. `make` alone lists it.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help run release test test-fast check deploy-check fmt lint doc openapi fuzz chaos bench

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Start everything in one process: API, worker, SQLite and a simulated gateway
	$(CARGO) run

release: ## Build the program as it is deployed: target/release/hulak
	$(CARGO) build --release -p hulak --features jemalloc

test: ## Run every test beside a throwaway PostgreSQL and RabbitMQ
	.ci/test

test-fast: ## The same without what needs Node.js, Chromium or PyPI, and without the run under faults
	.ci/test --fast

# What fails cheaply comes first, one after the other even under `make -j`: they share one build directory.
check: ## Everything that must pass before a merge
	@$(MAKE) --no-print-directory deploy-check
	@$(MAKE) --no-print-directory fmt
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory doc
	@$(MAKE) --no-print-directory test

deploy-check: ## Do compose file, image and settings agree?
	python3 deploy/check.py

fmt: ## Is the code formatted?
	$(CARGO) fmt --all --check

lint: ## Clippy, with warnings as errors; and is every dependency used?
	.ci/unused-dependencies
	$(CARGO) clippy --workspace --all-targets -- -D warnings

doc: ## Does the documentation build, without dead links?
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

openapi: ## Write docs/openapi.json anew from the code
	HULAK_UPDATE_OPENAPI=1 $(CARGO) test -q -p hulak-api --test contract the_committed_document

# Some generators throw a part of what they draw away.
fuzz: MANY = PROPTEST_CASES=1000000 PROPTEST_MAX_LOCAL_REJECTS=4000000
fuzz: ## A million cases for each property of parsers and state machines
	$(MANY) $(CARGO) test --release -q -p hulak-common --lib -- phone job sms limits rate_limit account
	$(MANY) $(CARGO) test --release -q -p hulak-api --lib -- token
	$(MANY) $(CARGO) test --release -q -p hulak-worker --lib -- sparrow

chaos: ## Kill everything for minutes and check every promise: make chaos CHAOS="--seed 7 --runs 10"
	$(CARGO) build -q -p hulak-chaos --bins
	$(CARGO) run -q -p hulak-chaos -- $(CHAOS)

# Built together, as they would be released, and run from where they are: a `cargo run` of one package alone would choose
# other features, and build half of the dependencies once more.
bench: ## Measure it beside the machine's own ceilings: make bench SCENARIO=accept BENCH="--rounds 1"
	$(CARGO) build -q --release -p hulak -p hulak-bench --features hulak/jemalloc
	$${CARGO_TARGET_DIR:-target}/release/hulak-bench $(if $(SCENARIO),--scenario $(SCENARIO)) $(BENCH)
