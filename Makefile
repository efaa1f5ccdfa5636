# The one way to set this project up, run it and check it. A bare machine with make and
# Python 3.11 is enough: each target makes the environment that it needs, in .venv.

PYTHON ?= python3
LISTEN ?= 127.0.0.1:9201
UPSTREAM ?=
DATA ?= .run
NODE_PORT ?= 9200
HEALTH ?= 127.0.0.1:9203

.DEFAULT_GOAL := help
.PHONY: help run test test-fast bench soak check fix docs lock clean FORCE

BIN := .venv/bin
FULL_COVERAGE := signals_proxy/account/*,signals_proxy/relay/head.py,signals_proxy/relay/body.py,$\
	signals_proxy/relay/nodes.py,signals_proxy/secret.py,signals_proxy/errors.py

# A file's tests stay together, for what they share is theirs; the order: tests/conftest.py.
SIDE_BY_SIDE := -n auto --maxprocesses=4 --dist loadfile --no-loadscope-reorder

help: ## list what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20
	@echo
	@echo '  make run UPSTREAM=http://host:9200[,…]  a cluster that exists, instead of an embedded one'
	@echo '           LISTEN=$(LISTEN)  DATA=$(DATA)  NODE_PORT=$(NODE_PORT)  HEALTH=$(HEALTH)'
	@echo '           PYTHON=$(PYTHON)  the Python that .venv is made with'

run: .venv/run.stamp ## start an Elasticsearch and the proxy in front of it, until Ctrl-C
	@exec $(BIN)/python -P -m signals_proxy run --listen '$(LISTEN)' --data '$(DATA)' \
		--node-port '$(NODE_PORT)' --health '$(HEALTH)' --upstream '$(UPSTREAM)'

test: .venv/dev.stamp .venv/run.stamp .venv/clients.stamp .venv/elastalert.stamp ## run all tests, against real servers, and require their coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(SIDE_BY_SIDE)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='$(FULL_COVERAGE)' --fail-under=100
	$(BIN)/coverage report --fail-under=95

test-fast: .venv/dev.stamp ## run the tests that need no server, in seconds
	$(BIN)/python -m pytest -q tests/account tests/test_secret.py tests/test_errors.py \
		$(addprefix tests/relay/test_,head.py body.py memory.py nodes.py dialogues.py states.py)

bench: .venv/dev.stamp .venv/bench.stamp ## measure it beside nginx, HAProxy and Caddy, in a quarter of an hour (QUICK=1: in one or two)
	$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only '$(ONLY)')

soak: .venv/dev.stamp ## load it for 5 minutes while nodes and workers die: nothing lost, nothing twice, flat memory
	$(BIN)/python -m bench.soak

check: .venv/dev.stamp ## check format, rules, types and the import table
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: .venv/dev.stamp ## format, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/dev.stamp ## write docs/accounts.md anew from the schema files
	$(BIN)/python docs/accounts.py > docs/accounts.md

lock: .venv/dev.stamp ## write requirements/*.txt anew from pyproject.toml (UPGRADE=1: newest)
	sh requirements/lock.sh $(if $(UPGRADE),--upgrade)

clean: ## remove all that these targets made, but for the data of `make run`
	rm -rf .venv .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache

.venv/%.stamp: requirements/%.txt requirements/install.sh requirements/install.py pyproject.toml
	@sh requirements/install.sh '$(PYTHON)' $*
	@touch $@

.venv/bench.stamp .venv/elastalert.stamp: .venv/dev.stamp
.venv/clients.stamp: .venv/dev.stamp requirements/package-lock.json $(wildcard tests/clients/go/*)

# An environment knows the folder that it was made in: moved or copied, it is made anew.
ifneq ($(shell cat .venv/made-in 2>/dev/null),$(CURDIR))
.venv/run.stamp .venv/dev.stamp: FORCE
endif
FORCE:
