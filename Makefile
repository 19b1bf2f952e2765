# The only door to hotdash. `make` lists what is behind it.
#
# It must work on a machine with nothing but git and make, so nothing here asks for a compiler or a
# pg_config while make reads it. That is also why PGXS is not included: extension/pgxs.mk does that,
# for the five targets that build on the user's own server.

TOP := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
ENTER = $(TOP)/regress/env/enter
PGXS_MAKE = $(MAKE) -f $(TOP)/extension/pgxs.mk
VERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(TOP)/control/hotdash.control)

ifneq ($(words $(CURDIR) $(MAKEFILE_LIST)),2)
$(error make cannot handle blanks in a path: put the checkout where the path has none)
endif

.DEFAULT_GOAL := help
.PHONY: help demo check lint format bench check-matrix check-asan check-valgrind fuzz dist \
	all install installcheck uninstall clean edge install-edge distclean

help: ## list the targets
	@echo 'hotdash $(VERSION)'
	@sed -n 's/^## \(.*\)/\n\1/p; s/^\([a-z][a-z -]*\):.*## \(.*\)/  \1\t\2/p' \
		$(TOP)/Makefile | expand -t 20

## On any Debian 12; what is missing is installed from Debian's packages
demo: ## the whole story on a private server: orders, jobs, webhooks, a crash, the count
	@$(ENTER) run demo -- regress/demo/run

check: ## every test on a private PostgreSQL 15; ends with passed and failed
	@$(TOP)/regress/check

bench: ## what this machine does, next to INSERT, pgq and graphile-worker
	@HOTDASH_FSYNC=on $(ENTER) run bench -- regress/bench/run

lint: ## the static rules alone
	@$(TOP)/regress/check build lint

format: ## rewrite C sources in the house style
	@$(TOP)/regress/format

## Longer checks, not part of check
check-matrix: ## build and test on PostgreSQL 17 and 18, each in its own Debian
	@$(TOP)/regress/matrix/run

check-asan: ## the tests under the address and undefined behaviour sanitizers
	@$(TOP)/regress/check --variant asan build pgtap isolation conformance e2e

check-valgrind: ## the database tests on a server under valgrind, those of the edge with the edge under it
	@$(TOP)/regress/check --variant valgrind build pgtap isolation
	@$(TOP)/regress/check --variant valgrind-edge build e2e

fuzz: ## feed every parser with random bytes, SECONDS=60 each
	@$(MAKE) -s -C $(TOP)/regress/fuzz BUILD='$(TOP)/.build/fuzz' fuzz

## On your own server (PG_CONFIG=… chooses it; DESTDIR and builds in another folder work)
all: ## build the extension
install: ## install it
installcheck: ## test it in databases of its own on the running server
uninstall: ## remove its files
all install installcheck uninstall:
	@$(PGXS_MAKE) $@

edge: ## build the outbound HTTP process
	@$(MAKE) -C $(TOP)/edge all

install-edge: ## install it (PREFIX=/usr/local)
	@$(MAKE) -C $(TOP)/edge install

clean: ## remove what was built, the private folder included
	@$(TOP)/regress/env/clean
	@if command -v '$(or $(PG_CONFIG),pg_config)' >/dev/null; then $(PGXS_MAKE) -s clean; fi
	@$(MAKE) -s -C $(TOP)/edge clean

dist: ## write the release archive for PGXN from the last commit
	git -C $(TOP) archive --format zip --prefix hotdash-$(VERSION)/ \
		-o '$(CURDIR)/hotdash-$(VERSION).zip' HEAD
