# Everything installs itself into .venv; see README.md. `make help` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help install demo test unit check dev bench lock production clean debian s3a

PYTHON3 := $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PYTHON := $(BIN)/python
UV := .venv/bin/uv
INSTALLED := .venv/.installed
CLASSES := .local/cache/classes/.written
PORT := 3000
PEERS := .local/bench/venv/.installed
VALIDATORS := .local/validators/.installed
LOCAL := $(PYTHON) -m aws_setup local --

export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONDONTWRITEBYTECODE # every start of Dagster would compile it anew

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 18

install: $(INSTALLED) ## Install into .venv; the others do it by themselves

demo: $(INSTALLED) ## Ingest one month from PostgreSQL into the raw layer, through Dagster, Step Functions and Spark
	@$(LOCAL) $(PYTHON) -m aws_setup.local.demo

dev: $(INSTALLED) ## Local AWS account and Dagster's UI on http://127.0.0.1:3000 (PORT=… for another)
	@$(PYTHON) -c 'import socket; socket.socket().connect_ex(("127.0.0.1", $(PORT))) == 0 and exit("error: port $(PORT) is taken: make dev PORT=…")'
	@INGEST_AUTOMATION=$${INGEST_AUTOMATION-sensors} $(LOCAL) dg dev --host 127.0.0.1 --port $(PORT)

test: $(INSTALLED) $(CLASSES) $(VALIDATORS) debian s3a ## All tests: unit, integration, end to end, and in a browser where there is one
	$(PYTHON) -m pytest --numprocesses 2

unit: $(INSTALLED) ## The tests that start no servers and no Spark, in under a minute
	$(PYTHON) -m pytest --numprocesses 2 tests/unit

check: $(INSTALLED) $(VALIDATORS) ## Format, lint, types, template and its policies, Dagster definitions
	ruff format --check .
	ruff check .
	mypy
	$(PYTHON) -m aws_setup.cloudformation.template | cfn-lint --include-checks W I --
	$(PYTHON) -m tests.validators $(dir $(VALIDATORS))bin
	dg check defs

bench: $(INSTALLED) $(CLASSES) $(PEERS) ## Measure the job beside plain COPY and its peers; ROWS=… ROUNDS=… ONLY=full,copy for a quick look
	@$(PYTHON) -m tests.bench $(if $(ROWS),--rows $(ROWS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only $(ONLY))

lock: $(INSTALLED) ## Pin the dependencies of pyproject.toml anew
	uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--extra production --extra readers --group local --group dev pyproject.toml --output-file requirements.lock
	uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--group bench --output-file tests/bench/requirements.lock
	uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--group validators --output-file tests/validators/requirements.lock

production: $(UV) ## Install what Dagster needs in production into .venv, without the local account; the Dockerfile's step
	@rm -f $(INSTALLED)
	@$(BIN)/uv pip install --quiet --python $(PYTHON) --requirements pyproject.toml --extra production --constraints requirements.lock
	@$(BIN)/uv pip uninstall --quiet --python $(PYTHON) pyspark py4j # the job runs on EMR; they are half the image

clean: ## Delete the local account's data, the environment and the caches
	rm -rf .local .venv .mypy_cache .ruff_cache .pytest_cache

debian: # packages of Debian that some tests need, which are skipped where they cannot be installed
	@$(call debian_package,command -v chromium,chromium,in a browser)
	@$(call debian_package,ls /usr/share/postgresql/*/extension/citext.control,postgresql-contrib,on PostgreSQL servers of Debian)
	@$(call debian_package,command -v mvn,maven,on Hadoop's S3A)

s3a: $(INSTALLED) | debian # Hadoop's S3A from Maven Central, 600 MB once; without it the tests on S3A are skipped
	@$(PYTHON) -m aws_setup.local.s3a

# $(1): succeeds where the package $(2) is installed; $(3): which tests need it. RUNLEVEL=1: installed servers are not started.
define debian_package
$(1) >/dev/null 2>&1 || { \
	test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "Installing Debian's $(2) (once)" && \
	timeout 300 sh -c 'export RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive; apt-get -qq update && \
		apt-get -qq install -y --no-install-recommends $(2)' >/dev/null 2>&1; \
} || echo "Debian's $(2) could not be installed: the tests $(3) are skipped"
endef

$(INSTALLED): requirements.lock | $(UV)
	@echo "Installing into .venv (once, about a minute)"
	@$(BIN)/uv pip sync --quiet --python $(PYTHON) requirements.lock
	@touch $@

$(UV):
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed, not " + sys.version)'
	@test -x $(PYTHON) || $(PYTHON3) -m venv .venv
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)"

$(PEERS): tests/bench/requirements.lock | $(INSTALLED)
	@$(PYTHON) -m venv .local/bench/venv
	@$(BIN)/uv pip sync --quiet --python .local/bench/venv/bin/python tests/bench/requirements.lock
	@touch $@

$(VALIDATORS): tests/validators/requirements.lock | $(INSTALLED)
	@echo "Installing the validators of the template (once)"
	@$(PYTHON) -m venv $(dir $@)
	@$(BIN)/uv pip sync --quiet --python $(dir $@)bin/python tests/validators/requirements.lock
	@touch $@

$(CLASSES): $(INSTALLED)
	@echo "Archiving Spark's classes, for jobs to start faster (once, about 15 seconds)"
	@$(PYTHON) -m aws_setup.local.class_archive
	@touch $@
