# Everything a person does in this folder. The environment is made by deploy/setup.py and shared by all targets.

PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell command -v $(name))) python3)
BIN := .venv/bin

PYTEST_WORKERS ?= 2
# What needs a cluster runs by itself: beside other tests, on two cores, clusters were seen not to come up in time.
ON_A_CLUSTER := tests/e2e tests/faults tests/performance tests/docs tests/clients tests/observability tests/security/test_open_cluster.py tests/console tests/nodes tests/gpu
SPREAD := -n $(PYTEST_WORKERS) --dist loadgroup --no-loadscope-reorder $(addprefix --ignore=,$(ON_A_CLUSTER))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help serve test test-all soak bench coverage check check-deploy format docs console lock release clean setup setup-tests

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

serve: setup ## set up, start a cluster on this machine and serve the bundled model; Ctrl-C stops it
	@exec $(BIN)/xinfer start --foreground --launch tiny-chat

test: setup-tests check ## set up, check and test, on a real cluster with the real engine; a quarter of an hour or a little more
	@$(BIN)/pytest $(SPREAD)
	@$(BIN)/pytest $(ON_A_CLUSTER)

# What follows load, loses nodes, waits for Serve or installs packages of others: `heavy`, each with its reason.
test-all: setup-tests check ## the same with the tests that take long for what they show; an hour
	@$(BIN)/pytest -m "not soak" $(SPREAD)
	@$(BIN)/pytest -m "not soak" $(ON_A_CLUSTER)

soak: setup-tests ## kill parts of a cluster under load for SOAK_MINUTES (10) and measure what is lost
	@$(BIN)/python -m tests.soak

bench: setup-tests ## measure bare vLLM, Ray Serve LLM and xinfer one after the other on this machine, for three quarters of an hour
	@$(BIN)/python -m tests.performance.suite

coverage: setup-tests ## run the whole suite, the heavy tests too, and print its branch coverage
	@rm -rf build/coverage && mkdir -p build/coverage
	@COVERAGE_FILE=$(CURDIR)/build/coverage/data $(BIN)/coverage run -m pytest -m "not soak" $(SPREAD)
	@COVERAGE_FILE=$(CURDIR)/build/coverage/data $(BIN)/coverage run -m pytest -m "not soak" $(ON_A_CLUSTER)
	@COVERAGE_FILE=$(CURDIR)/build/coverage/data $(BIN)/coverage combine -q
	@COVERAGE_FILE=$(CURDIR)/build/coverage/data $(BIN)/coverage report

check: setup-tests ## formatting, lint, directions of imports, and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/mypy

check-deploy: setup-tests .venv-deploy/ready ## check images, compose files, chart and scripts in deploy/
	@.venv-deploy/bin/python deploy/check.py

# The checkers need other versions of some packages than the engine, so they have an environment of their own.
.venv-deploy/ready: deploy/locks/check.txt
	@$(PYTHON) -m venv --clear .venv-deploy
	@.venv-deploy/bin/pip install --quiet --disable-pip-version-check -r deploy/locks/check.txt
	@.venv-deploy/bin/pip download --quiet --disable-pip-version-check --no-deps --dest .venv-deploy docker-compose==1.29.2
	@touch $@

format: setup-tests ## put the code in form
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

docs: setup-tests ## build the documents as a site, build/docs/index.html
	@$(BIN)/sphinx-build -q -W --keep-going -d build/doctrees docs build/docs

release: test-all check-deploy ## check that this commit can be released, and build its wheel and sdist into dist/
	@$(BIN)/python deploy/release.py

console: ## build the console of supervisor/console anew; needs Node.js
	@cd supervisor/console && npm ci --no-progress && npm run build

lock: setup-tests ## resolve the dependencies anew into deploy/locks/
	@$(BIN)/python deploy/lock.py

clean: ## remove the environment and caches
	rm -rf .venv .venv-deploy .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@$(PYTHON) deploy/setup.py

setup-tests:
	@$(PYTHON) deploy/setup.py --with-tests
