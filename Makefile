# ClawBot Cloud. `make help` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
CONFIG ?= configs/local.yaml
# Debug builds optimise C all the same: scrypt takes seconds otherwise. Always the same flags, so that nothing is built twice.
DEBUG := -Xcc -O2
# Where `make install` puts things: DESTDIR is a staging root, PREFIX where programs live, BINARY what is installed.
DESTDIR ?=
PREFIX ?= /usr/local
BINARY ?= .build/release/clawbot

.PHONY: help run build test bench chaos security format clean release install deb

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: ## install what is missing, build, and start the laptop set-up (MODEL=local: with a small model on this machine)
	@scripts/dependencies run
	@echo "==> building (the first time takes about ten minutes on two cores)"
	@swift build -c release --product clawbot
	@exec $(if $(filter local,$(MODEL)),scripts/run-with-local-model) .build/release/clawbot serve --config $(CONFIG)

build: ## debug build of everything
	@scripts/dependencies run
	@swift build --build-tests $(DEBUG)

test: ## everything: unit, conformance, sandbox, vendor SDKs, browser, chaos (short)
	@scripts/test

bench: ## figures of the release build, side by side
	@scripts/dependencies run
	@swift build -c release --product clawbot
	@swift build -c release --product clawbot-bench
	@.build/release/clawbot-bench --binary .build/release/clawbot $(BENCH)

chaos: ## the long chaos run: SIGKILL at random under load
	@scripts/dependencies test
	@python=$$(scripts/python-venv) && swift build --product clawbot $(DEBUG) && \
		CLAWBOT_BINARY=$$PWD/.build/debug/clawbot $$python Tests/EndToEnd/chaos.py --messages 300 --conversations 30 --kills 20

security: ## docs/security-table.md anew, from the names of the tests
	@scripts/security-table

release: ## release build, with what of Swift it needs inside
	@scripts/dependencies run
	@swift build -c release --product clawbot --static-swift-stdlib

$(BINARY):
	@$(MAKE) --no-print-directory release

install: $(BINARY) ## install: program, unit, configuration (DESTDIR=, PREFIX=/usr/local)
	@install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)/etc/clawbot" "$(DESTDIR)$(PREFIX)/share/doc/clawbot"
	@install -d "$(DESTDIR)$(PREFIX)/lib/systemd/system" "$(DESTDIR)$(PREFIX)/lib/sysusers.d" "$(DESTDIR)$(PREFIX)/lib/tmpfiles.d"
	@install -m 0755 "$(BINARY)" "$(DESTDIR)$(PREFIX)/bin/clawbot"
	@test -e "$(DESTDIR)/etc/clawbot/clawbot.yaml" || sed 's,^dataDirectory: .*,dataDirectory: /var/lib/clawbot,' configs/local.yaml >"$(DESTDIR)/etc/clawbot/clawbot.yaml"
	@chmod 0644 "$(DESTDIR)/etc/clawbot/clawbot.yaml"
	@test -e "$(DESTDIR)/etc/clawbot/environment" || install -m 0600 packaging/environment "$(DESTDIR)/etc/clawbot/environment"
	@for unit in clawbot.service clawbot-backup.service clawbot-backup.timer; do \
		sed 's,/usr/bin/clawbot,$(PREFIX)/bin/clawbot,; s,/usr/share/doc,$(PREFIX)/share/doc,' packaging/systemd/$$unit >"$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit"; \
		chmod 0644 "$(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit"; done
	@install -m 0644 packaging/systemd/clawbot.sysusers "$(DESTDIR)$(PREFIX)/lib/sysusers.d/clawbot.conf"
	@install -m 0644 packaging/systemd/clawbot.tmpfiles "$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/clawbot.conf"
	@install -m 0644 docs/operating.md docs/backup.md docs/upgrading.md docs/sandbox.md "$(DESTDIR)$(PREFIX)/share/doc/clawbot/"

deb: $(BINARY) ## a Debian package in .build/deb
	@packaging/deb "$(BINARY)" .build/deb

format: ## swift-format over the sources
	@swift format --in-place --recursive Sources Tests Benchmarks Package.swift

clean: ## remove build products (data stays)
	@rm -rf .build
