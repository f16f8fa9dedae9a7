# make demo: set up and run the whole pipeline on the demo corpus.  make test: set up and run the tests.
PYTHON ?= python3.11
CORES ?= $(shell nproc)
VENV := .venv
BIN := $(VENV)/bin
CLUSTER_TESTS := cluster
SLURM := slurmctld slurmd slurm-client munge slurm-wlm-torque
INSTALLED := $(VENV)/installed-$(shell sha256sum requirements.lock | cut -c1-16)

ifneq ($(words $(CURDIR)),1)
$(error The path '$(CURDIR)' has a blank, and Snakemake starts no job from there: move the project to a folder without one)
endif

# Snakemake and pip keep files there; without a home folder that can be written, they are kept here.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)
ifneq ($(shell mkdir -p "$(CACHE)" 2>/dev/null && test -w "$(CACHE)" && echo yes),yes)
export XDG_CACHE_HOME := $(CURDIR)/.cache
endif

# One process per core and one thread each; a file stays in one process, because its tests share what they prepare.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses $(CORES) --maxprocesses 8 --dist loadfile

# make test-slow: the longer suites.  make test-cluster: the demo on a SLURM and a PBS that it sets up (root on Debian).
.PHONY: setup demo demo-systems demo-all-folds test test-avx2 test-slow test-cluster lint docs format clean

setup: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-deps --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --disable-pip-version-check --editable .
	rm -f $(VENV)/installed-*
	touch $@

DEMO := config/demo.yaml
FIRST_FOLD := config/demo_fold0.yaml
ALL_SYSTEMS := $(DEMO) $(filter-out $(FIRST_FOLD),$(sort $(wildcard config/demo_*.yaml)))

# One thread per job: many small trainings side by side are faster than one after the other.
RUN_DEMO := $(BIN)/snakemake --cores $(CORES) --set-threads train_system=1 predict_system=1 --quiet rules

demo: setup
	$(RUN_DEMO) --configfile $(DEMO)
	@$(BIN)/wildaffect summary results/demo

# All five systems and their fusion in one report, on the first fold; demo-all-folds: on every fold.
demo-systems: setup
	$(RUN_DEMO) --configfile $(ALL_SYSTEMS) $(FIRST_FOLD)
	@$(BIN)/wildaffect summary results/demo

demo-all-folds: setup
	$(RUN_DEMO) --configfile $(ALL_SYSTEMS)
	@$(BIN)/wildaffect summary results/demo

test: setup lint
	$(PYTEST) -m "not slow and not cluster"

# The kernels of processors without AVX-512, for all that trains; newer processors have them, too.
test-avx2: setup
	ONEDNN_MAX_CPU_ISA=AVX2 $(PYTEST) -m "not slow" $(wildcard tests/unit/test_training_*.py tests/unit/test_systems_*_training.py)

test-slow: setup
	$(PYTEST) -m slow

test-cluster: setup
	@dpkg -s $(SLURM) >/dev/null 2>&1 || \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SLURM); }
	$(BIN)/pytest -m "$(CLUSTER_TESTS)"

lint: setup docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflow
	$(BIN)/mypy
	$(BIN)/snakemake --lint --configfile config/demo.yaml

# The documentation site, in build/site; a broken link or anchor is an error. The variable silences an advertisement.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt workflow

clean:
	rm -rf $(VENV) results/demo
