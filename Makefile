# make demo: set up and run the whole pipeline on the demo corpus.  make test: set up and run the tests.
PYTHON ?= python3.11
CORES ?= $(shell nproc)
VENV := .venv
BIN := $(VENV)/bin
SLURM := slurmctld slurmd slurm-client munge slurm-wlm-torque
INSTALLED := $(VENV)/installed-$(shell sha256sum requirements.lock | cut -c1-16)

# make test-slow: the longer suites.  make test-cluster: the demo on a SLURM and a PBS that it sets up (root on Debian).
.PHONY: setup demo test test-slow test-cluster lint format clean

setup: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-deps --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --disable-pip-version-check --editable .
	rm -f $(VENV)/installed-*
	touch $@

# One thread per job: many small trainings side by side are faster than one after the other.
demo: setup
	$(BIN)/snakemake --cores $(CORES) --configfile config/demo.yaml --set-threads train_system=1 predict_system=1 --quiet rules
	@$(BIN)/wildaffect summary results/demo

test: setup lint
	$(BIN)/pytest -m "not slow and not cluster"

test-slow: setup
	$(BIN)/pytest -m slow

test-cluster: setup
	@dpkg -s $(SLURM) >/dev/null 2>&1 || \
	    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SLURM); }
	$(BIN)/pytest -m cluster

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check workflow
	$(BIN)/snakemake --lint --configfile config/demo.yaml

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt workflow

clean:
	rm -rf $(VENV) results/demo
