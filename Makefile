# Each target is a few lines; what needs logic is a script beside what it serves.
# `make help` lists the targets. One profile for everything: what is tested is what users run, and a
# fresh machine compiles the dependencies once.

# Where cargo puts things; lab, images and libkrunfw stay in `target`.
BUILD  := $(abspath $(or $(CARGO_TARGET_DIR),target))/release
IMAGE  := target/images/debian-12.oci.tar
STATIC := target/agent-build/x86_64-unknown-linux-gnu/agent/pyro-agent

export PYRO_AGENT := $(CURDIR)/target/agent/pyro-agent
export LAB_IMG ?= $(CURDIR)/target/lab
export PYRO_TEST_IMAGE := $(CURDIR)/$(IMAGE)
# For tests that start machines by themselves; pyro looks beside its own program first.
export PYRO_MACHINE := $(BUILD)/pyro-machine
SMOKES := repro-fix-loop parallel-workspaces untrusted-inspection daily-loop
.DEFAULT_GOAL := help
.PHONY: help setup build agent demo image lab test test-kvm smoke-use-cases $(SMOKES:%=smoke-%) fuzz bench lint lint-fast check-flake clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 17

setup: ## install what is missing to build and test
	@./setup.sh test

build: agent ## pyro and pyro-machine, in target/release
	cargo build --locked --release

agent: ## the static agent, in target/agent
	@./setup.sh build
	RUSTFLAGS='-C target-feature=+crt-static' cargo build --locked --package pyro-agent --profile agent \
		--target x86_64-unknown-linux-gnu --target-dir target/agent-build
	@install -D --compare $(STATIC) $(PYRO_AGENT)

demo: build ## a command in a workspace made from a real Debian image
	@images/demo.sh $(BUILD)/pyro

image: $(IMAGE) ## the environment that the tests use
$(IMAGE): images/build.sh images/archive.py images/catalog.toml
	images/build.sh debian:12 $@

lab: ## the machine in which guests boot where this host's KVM boots none
	@tests/lab/build.sh

test: setup agent ## every test; real guests on this host's KVM or in the lab
	@tests/run.sh $(ARGS)

test-kvm: setup agent ## the tests on real guests alone
	@tests/run.sh -E 'binary(guest)' $(ARGS)

smoke-use-cases: setup build ## the workflows of use-cases/, on real guests; smoke-repro-fix-loop: one of them
	@tests/smoke/run.sh $(SMOKES)

$(SMOKES:%=smoke-%): smoke-%: setup build
	@tests/smoke/run.sh $*

bench: ## pyro against others, as a table; ARGS='--runs 5 run start' chooses rows
	@./setup.sh bench
	@$(MAKE) --no-print-directory build image lab
	@tests/bench/bench.py $(ARGS)

fuzz: setup ## every fuzz target for SECONDS_EACH seconds (60)
	@tests/fuzz/run.sh

lint: lint-fast check-flake ## everything that is checked without running it
	@./setup.sh lint
	cargo deny --locked check

lint-fast: agent ## formatting and clippy
	cargo fmt --all --check
	cargo clippy --locked --release --workspace --all-targets -- -D warnings

check-flake: ## evaluate flake.nix, without the network
	@tests/flake/check.sh

clean: ## remove everything that was built
	rm -rf target
