# make demo    the main job, end to end on this machine     make demo READS="a.fastq.gz b.fastq.gz"
# make test    all tests                                     make check   all static checks
# Each does all its own set-up; needed beforehand: Python with pip, and make.
# make fuzz    new inputs for the readers, until something breaks     make fuzz SECONDS=600
# make bench   against other programs; needs, on Debian, fastp, python3-slepc4py and libopenblas0
.PHONY: demo test check fuzz bench setup clean
.DELETE_ON_ERROR:
SHELL := /bin/bash

READS ?=
SECONDS := 60
FUZZED := reads workflow upload
PYTHON := .venv/bin/python
UV := .tools/uv/bin/uv
# Compiled modules are kept: workers start seconds sooner with them.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.tools/uv/bin:$(PATH)

demo: setup
	$(PYTHON) -m trivium demo $(READS)

test: setup .tools/pcluster/ready
	$(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder tests

check: setup .tools/checkov/ready
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy .
	.venv/bin/lint-imports
	.venv/bin/deptry .
	.venv/bin/cfn-lint template.yaml hpc/pcs.yaml ray_tasks/cluster.yaml ray_tasks/hyperpod.yaml
	$(PYTHON) -m pytest --quiet tests/unit/test_state_machines.py
	.tools/checkov/bin/checkov --config-file .checkov.yaml
	.venv/bin/shellcheck .ci/run requirements/lock hpc/install_agent.sh ray_tasks/install_node.sh

fuzz: setup $(FUZZED:%=fuzz-%)

# What reaches new code is kept in out/fuzz, and so is what breaks a reader.
fuzz-%:
	mkdir -p out/fuzz/$*
	$(PYTHON) -m tests.fuzz $* -max_total_time=$(SECONDS) -rss_limit_mb=1024 -max_len=4096 \
		-artifact_prefix=out/fuzz/$*- out/fuzz/$* tests/fuzz/corpus/$*

BENCHMARKS := quality_vs_fastp sketch_vs_sourmash frequencies_vs_sklearn solver_vs_slepc
BENCHMARKS += ten_runs run_vs_script report_page

bench: setup .tools/peers/ready
	set -e; for name in $(BENCHMARKS); do $(PYTHON) -m bench.$$name; done

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
