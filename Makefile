# ClawBot Cloud. `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
CONFIG ?= configs/local.yaml

.PHONY: help run build test bench chaos security format clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: ## install what is missing, build, and start the laptop set-up (MODEL=local: with a small model on this machine)
	@scripts/dependencies run
	@echo "==> building (the first time takes about ten minutes on two cores)"
	@swift build -c release --product clawbot
	@exec $(if $(filter local,$(MODEL)),scripts/run-with-local-model) .build/release/clawbot serve --config $(CONFIG)

build: ## debug build of everything
	@scripts/dependencies run
	@swift build

test: ## everything: unit, conformance, sandbox, vendor SDKs, browser, chaos (short)
	@scripts/test

bench: ## figures of the release build, side by side
	@scripts/dependencies run
	@swift build -c release --product clawbot
	@swift build -c release --product clawbot-bench
	@.build/release/clawbot-bench --binary .build/release/clawbot $(BENCH)

chaos: ## the long chaos run: SIGKILL at random under load
	@scripts/dependencies test
	@python=$$(scripts/python-venv) && swift build --product clawbot && \
		CLAWBOT_BINARY=$$PWD/.build/debug/clawbot $$python Tests/EndToEnd/chaos.py --messages 300 --conversations 30 --kills 20

security: ## docs/security-table.md anew, from the names of the tests
	@scripts/security-table

format: ## swift-format over the sources
	@swift format --in-place --recursive Sources Tests Benchmarks Package.swift

clean: ## remove build products (data stays)
	@rm -rf .build
