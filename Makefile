# Every target sets up what it needs. Nothing is installed outside this folder and the cache, but for Debian packages that a
# cluster without Docker needs (as root; else they are named).
SHELL := /bin/bash
.DEFAULT_GOAL := help
CACHE := $(or $(TIDEGATE_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidegate)
UV := $(or $(shell command -v uv 2>/dev/null),$(CACHE)/uv/bin/uv)
PYTHON := .venv/bin/python
CLUSTER := PYTHONPATH=cluster $(PYTHON) -m tidegate_cluster
IMAGES := PYTHONPATH=cluster $(PYTHON) -m tidegate_images
NAME ?= demo
EXPORT_EXAMPLES := --quiet --frozen --only-group examples --no-emit-workspace --no-header --no-annotate
FUZZ_TESTS := $(wildcard tests/*/test_fuzz.py)
PUSH ?=

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/ready: pyproject.toml runner-image/pyproject.toml uv.lock | $(UV)
	@$(UV) sync --quiet --frozen --all-extras --all-packages --compile-bytecode
	@touch $@

$(CACHE)/uv/bin/uv: cluster/locked/uv.txt
	@python3 -c 'import sys; sys.exit("Tidegate needs Python 3.11 or later as python3" if sys.version_info < (3, 11) else 0)'
	@python3 -m venv $(CACHE)/uv && $(CACHE)/uv/bin/pip install --quiet --require-hashes --only-binary=:all: --requirement=$<
	@touch $@

.PHONY: demo
demo: .venv/ready ## Real runs on a real cluster, in a browser and in kubectl
	@PYTHONPATH=cluster $(PYTHON) -m tidegate_demo up

.PHONY: demo-down
demo-down: .venv/ready ## Take the demo and its cluster away
	@PYTHONPATH=cluster $(PYTHON) -m tidegate_demo down

.PHONY: test
test: .venv/ready ## All tests, on real parts; STAGE=unit for one stage
	@$(PYTHON) tests/stages.py $(STAGE)

.PHONY: test-quick
test-quick: .venv/ready ## Lint, unit tests, and a slice of the other stages: each main path once
	@$(PYTHON) tests/stages.py --quick

.PHONY: coverage
coverage: .venv/ready ## Which lines and branches the tests reach, in processes that they start too; STAGE="unit web"
	@rm -f .coverage .coverage.*
	@for stage in $(or $(STAGE),unit property); do .venv/bin/coverage run -m pytest -q tests/$$stage || exit 1; done
	@.venv/bin/coverage combine --quiet && .venv/bin/coverage report

.PHONY: mutation
mutation: .venv/ready ## Change the operator's decisions a little at a time: does a test fail for each? MUTANTS=survivors: those that none saw; or "tidegate_operator.policies.retry*"
	@$(PYTHON) tests/mutation.py $(MUTANTS)

.PHONY: test-docker
test-docker: .venv/ready ## What people with Docker do, on a Docker engine of our own (root on Debian; half an hour)
	@$(PYTHON) -m pytest -q tests/docker

.PHONY: test-upgrade
test-upgrade: .venv/ready ## From the release before to this one and back under load, and a restore from a dump (root on Debian; ten minutes)
	@PYTHONPATH=cluster:tests $(PYTHON) -m pytest -q -s tests/upgrade

.PHONY: test-monitoring
test-monitoring: .venv/ready ## Alerts and dashboards on a real Prometheus that scrapes real, broken parts (Debian; three minutes)
	@$(PYTHON) -m pytest -q tests/monitoring

.PHONY: test-stores
test-stores: .venv/ready ## A Redis Cluster with replicas that loses a node (Debian; one minute)
	@$(PYTHON) -m pytest -q tests/stores

.PHONY: test-tls
test-tls: .venv/ready ## The chart with TLS between all of its parts, on a real cluster (root on Debian; five minutes)
	@PYTHONPATH=cluster:tests $(PYTHON) -m pytest -q tests/tls

.PHONY: test-network
test-network: .venv/ready ## NetworkPolicies enforced, by IPv4, by IPv6 and by both, on clusters of our own (root on Debian; a quarter of an hour)
	@$(PYTHON) -m pytest -q tests/network

.PHONY: test-endurance
test-endurance: .venv/ready ## Pools while operators are killed, processes stand still and a node goes (root on Debian; half an hour)
	@PYTHONPATH=cluster:tests $(PYTHON) -m pytest -q tests/endurance

.PHONY: explore
explore: .venv/ready ## The real operator on a fake apiserver, under random crashes and losses; EXAMPLES=100
	@TIDEGATE_PROPERTY_EXAMPLES=$(or $(EXAMPLES),100) .venv/bin/pytest -q tests/property/test_operation.py tests/property/test_pool_operation.py

.PHONY: fuzz
fuzz: .venv/ready ## Half an hour of odd objects beside sound runs; FUZZ_MINUTES=30, FUZZ_SEED=1
	@for file in $(FUZZ_TESTS); do \
	  FUZZ_SECONDS=$$(( $(or $(FUZZ_MINUTES),30) * 60 / $(words $(FUZZ_TESTS)) )) FUZZ_SEED=$(or $(FUZZ_SEED),1) \
	    .venv/bin/pytest -q $$file || exit 1; \
	done

.PHONY: lint
lint: .venv/ready ## ruff, mypy --strict, import-linter
	@.venv/bin/ruff format --check --quiet . || { echo "run 'make format'"; exit 1; }
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

.PHONY: format
format: .venv/ready ## Let ruff format and mend what it can
	@.venv/bin/ruff format --quiet .
	@.venv/bin/ruff check --quiet --fix .

.PHONY: generate crds
generate: .venv/ready ## Write what is generated from the types: CRDs, the chart's copy, reference pages, OpenAPI
	@$(PYTHON) -m tidegate_api.generate .
	@$(PYTHON) docs/generate_settings.py
	@$(PYTHON) docs/generate_openapi.py
	@$(PYTHON) docs/generate_python.py
	@$(PYTHON) docs/generate_cli.py
	@$(PYTHON) docs/generate_values.py
	@$(PYTHON) docs/generate_metrics.py
	@$(PYTHON) docs/generate_dashboards.py
	@$(UV) export $(EXPORT_EXAMPLES) --output-file examples/requirements.txt >/dev/null

.PHONY: verify
verify: .venv/ready ## Fail when generated files or uv.lock have drifted, or a promise or boundary names a test that is not there
	@$(UV) lock --check --quiet
	@$(UV) export $(EXPORT_EXAMPLES) | diff --brief - examples/requirements.txt >/dev/null || \
	  { echo "examples/requirements.txt has drifted from uv.lock: run 'make generate'"; exit 1; }
	@$(PYTHON) -m tidegate_api.generate --check .
	@$(PYTHON) docs/generate_settings.py --check
	@$(PYTHON) docs/generate_openapi.py --check
	@$(PYTHON) docs/generate_python.py --check
	@$(PYTHON) docs/generate_cli.py --check
	@$(PYTHON) docs/generate_values.py --check
	@$(PYTHON) docs/generate_metrics.py --check
	@$(PYTHON) docs/generate_dashboards.py --check
	@$(PYTHON) docs/check_promises.py

.PHONY: screenshots
screenshots: .venv/ready ## Photograph every page of the dashboard into docs/images
	@TIDEGATE_SCREENSHOTS=docs/images $(PYTHON) -m pytest -q tests/web/test_every_page.py

.PHONY: cluster-up
cluster-up: .venv/ready ## A local Kubernetes cluster; NAME=demo
	@$(CLUSTER) up --name $(NAME)

.PHONY: cluster-down
cluster-down: .venv/ready ## Take the cluster away without a trace; NAME=demo
	@$(CLUSTER) down --name $(NAME)

.PHONY: images
images: .venv/ready ## Build the images; PUSH=registry/prefix pushes them, DIGESTS=file has the bases'
	@$(IMAGES) build $(if $(PUSH),--push $(PUSH)) $(if $(DIGESTS),--digests $(DIGESTS))

.PHONY: bases
bases: .venv/ready ## Renew the digests of the images that ours start from; MIRROR=https://registry asks that one
	@$(IMAGES) bases $(if $(MIRROR),--mirror $(MIRROR)) $(if $(DIGESTS),--file $(DIGESTS))

.PHONY: audit
audit: .venv/ready ## Look for known vulnerabilities of what we depend on and of vendored files, at osv.dev
	@PYTHONPATH=cluster $(PYTHON) -m tidegate_audit

.PHONY: bench
bench: .venv/ready ## Measure against plain Jobs on the same control plane
	@PYTHONPATH=cluster:tests $(PYTHON) -m tests.bench $(ARGS)
