# `make demo` shows the whole path on this machine; `make test` is everything that CI checks.

CARGO ?= cargo
# Where cargo puts what it builds; demo and prove start binaries from there.
TARGET := $(or $(CARGO_TARGET_DIR),target)
CARGO_DENY := 0.20.2
# How long each test of `make prove` goes on with new random histories, and where they are counted.
PROVE_SECONDS ?= 900
TALLY := $(abspath $(TARGET))/tally.jsonl

.PHONY: help demo demo-stack test format lint doc unit deny advisories prove bench image

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: ## model, lint, render, publish, merge in a private Postgres; DEMO="--keep" leaves it running
	@scripts/postgres.sh
	@echo "building (a first build takes a few minutes)"
	@$(CARGO) build --locked --quiet --package milepost-cli --package milepost-merge-job
	@$(TARGET)/debug/milepost demo $(DEMO)

demo-stack: ## the real stack under load, every table compared; DEMO="--seconds 120" or "--keep-going"
	@scripts/postgres.sh
	@scripts/stack.sh >/dev/null
	@echo "building (a first build takes a few minutes)"
	@$(CARGO) build --locked --quiet --package milepost-cli --package milepost-merge-job --package acceptance --bins
	@MILEPOST_MERGE_JOB=$(abspath $(TARGET))/debug/merge-job $(TARGET)/debug/demo-stack $(DEMO)

test: format lint doc unit deny ## everything that CI checks

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings

doc:
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

unit: ## cargo test: needs PostgreSQL 15 or newer, PgBouncer, python3, and what scripts/stack.sh fetches
	@scripts/postgres.sh
	@scripts/stack.sh >/dev/null
	@scripts/pgbouncer.sh >/dev/null
	$(CARGO) test --locked --workspace

deny: ## licences, banned crates, sources of crates
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked --version $(CARGO_DENY)
	$(CARGO) deny --locked check bans licenses sources

advisories: ## known vulnerabilities; reads a database from the network, so it is no part of test
	$(CARGO) deny --locked check advisories

prove: ## what is too long for test: random histories for PROVE_SECONDS each, PostgreSQL 16 and 18, a large model; writes docs/proof.md
	@scripts/postgres.sh
	@scripts/stack.sh >/dev/null
	@scripts/pgbouncer.sh >/dev/null
	@rm -f $(TALLY)
# Not optimised: what lets a run die before a step is in debug builds alone.
	MILEPOST_TALLY=$(TALLY) MILEPOST_TEST_SECONDS=$(PROVE_SECONDS) $(CARGO) test --locked --package acceptance \
		--test tables --test merge_debezium --test merge --test stack_chaos
# These servers come without extensions: the test of all types needs hstore.
	for bin in $$(scripts/postgres-versions.sh); do \
		MILEPOST_TALLY=$(TALLY) MILEPOST_PGBIN=$$bin $(CARGO) test --locked --package acceptance --test tables --test merge -- \
			--skip image::values::every_value_arrives_as_it_is || exit 1; \
	done
	$(CARGO) test --locked --release --package milepost-dsl --test scale -- --ignored
	$(CARGO) run --locked --quiet --package acceptance --bin proof -- $(TALLY) >$(TARGET)/proof.md
	mv $(TARGET)/proof.md docs/proof.md

bench: ## measured ratios against the floor and other tools, which scripts/peers.sh installs; about an hour
	@scripts/postgres.sh
	$(CARGO) bench --locked --package acceptance

image: ## the container image, with whatever engine is here
	$(or $(ENGINE),docker) build --file Containerfile --tag milepost .
