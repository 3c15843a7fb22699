# make demo    the main job, end to end on this machine     make demo READS="a.fastq.gz b.fastq.gz"
# make test    all tests                                     make check   all static checks
# Each does all its own set-up; needed beforehand: Python with pip, and make.
.PHONY: demo test check setup clean
.DELETE_ON_ERROR:
SHELL := /bin/bash

READS ?=
PYTHON := .venv/bin/python
UV := .tools/uv/bin/uv
# Compiled modules are kept: workers start seconds sooner with them.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.tools/uv/bin:$(PATH)

demo: setup
	$(PYTHON) -m trivium demo $(READS)

test: setup
	$(PYTHON) -m pytest tests

check: setup .tools/checkov/ready
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy .
	.venv/bin/lint-imports
	.venv/bin/deptry .
	.venv/bin/cfn-lint template.yaml
	.tools/checkov/bin/checkov --config-file .checkov.yaml
	.venv/bin/shellcheck .ci/run requirements/lock

setup: .venv/ready .tools/ministack/ready .tools/sam/ready

.venv/ready: requirements/dev.txt | $(UV)
	$(UV) venv --quiet --allow-existing .venv
	$(UV) pip sync --quiet --require-hashes $<
	touch $@

# The emulator and the SAM CLI pin libraries that the project has in other versions.
.tools/%/ready: requirements/%.txt | $(UV)
	$(UV) venv --quiet --allow-existing $(@D)
	$(UV) pip sync --quiet --compile-bytecode --require-hashes --python $(@D) $<
	touch $@

$(UV): requirements/uv.txt
	python3 -m pip install --quiet --require-hashes --target .tools/uv --upgrade -r $<
	touch $@

clean:
	rm -rf .venv .tools .aws-sam .local .local-numba out
