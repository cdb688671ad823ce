# make setup | demo | test | lint | test-slow | nightly | lce
#
# PYTHON       the interpreter to start from (3.11 to 3.13, with venv); by default python3 if it is one, else the newest such
# TORCH_INDEX  a package index with PyTorch's CPU wheels, where pip's own choice would be a CUDA build (Linux)
# JOBS         processes that the tests run in (default 2)

VENV   := .venv
PY     := $(VENV)/bin/python
JOBS   ?= 2
# Each is tried by running it: a version manager leaves commands on the PATH that only say that they are not there.
FITS    = import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
            $$name -c '$(FITS)' 2>/dev/null && echo $$name && break; done)
STAMP  := $(VENV)/.edgekit-ready

# One process per core computes with one thread: two pools of threads on two cores slow each other down.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest $(if $(CI),-p no:cacheprovider,)

.PHONY: setup demo test test-slow nightly lint clean lce

setup: $(STAMP)

$(STAMP): setup.cfg setup.py pyproject.toml constraints.txt
	@python=$(PYTHON); $${python:-false} -c '$(FITS)' || { echo "edgekit needs Python 3.11, 3.12 or 3.13 with venv; \
	$${python:-none on the PATH} is not one: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -c constraints.txt setuptools
	$(if $(TORCH_INDEX),$(PY) -m pip install --quiet -c constraints.txt --index-url $(TORCH_INDEX) torch)
	$(PY) -m pip install --quiet -c constraints.txt --no-build-isolation --editable '.[build,micro,train,dev]'
	touch $@

demo: setup
	$(PY) -m examples.digits.demo

test: setup
	$(PYTEST) -n $(JOBS) --dist worksteal

test-slow: setup
	$(PYTEST) -m slow

nightly: setup
	$(PYTEST) -m nightly

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# Larq Compute Engine, for the target tflite-lce and its tests: it needs Python 3.9 to 3.11 and numpy below 2.
LCE_PYTHON ?= python3.11
lce:
	test -x $(VENV)/lce/bin/python || $(LCE_PYTHON) -m venv $(VENV)/lce
	$(VENV)/lce/bin/python -m pip install --quiet 'larq-compute-engine==0.16.0' 'numpy<2'
	@echo "export EDGEKIT_LCE_PYTHON=$(CURDIR)/$(VENV)/lce/bin/python"

clean:
	rm -rf build dist edgekit-out *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
