# Every target makes what it needs; nothing is downloaded but packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CHECKOV := .venv-checkov
STAMP := $(VENV)/.installed

# What of e2e/ is quick enough for every `make test`.
BRIEF := $(addprefix e2e/test_,life.py deletion.py neighbours.py bad_input.py decisions.py failures.py)

.DEFAULT_GOAL := help
.PHONY: help setup lint security format test integration oracle faults mutants e2e bench bench-placement bench-queue demo crds settings pictures controlplane tools chart image kind-node-image e2e-kind clean

help: ## say what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  \1\t/' | expand -t 16

setup: $(STAMP) ## make .venv with the muster command in it

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("muster needs Python 3.11 or later: make PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

lint: $(STAMP) ## ruff, mypy --strict, the rules on imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

security: $(STAMP) tools $(CHECKOV)/.installed ## bandit on the operator, checkov on the chart as it renders and on the Dockerfile (needs Go)
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive operator
	$(BIN)/python -m e2e.chart.scan $(CHECKOV)/bin/checkov

# It pins a hundred packages, some of them to versions that ours do not go with.
$(CHECKOV)/.installed: constraints-checkov.txt
	$(PYTHON) -m venv $(CHECKOV)
	$(CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-checkov.txt checkov
	@touch $@

format: $(STAMP) ## mend what ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(STAMP) ## all that needs no cluster, and the operator as a process against the embedded one
	@# The second mostly waits, so both run at once; its report comes last.
	@report=$$(mktemp); $(BIN)/python -m pytest $(BRIEF) --server embedded >$$report 2>&1 & brief=$$!; \
	$(BIN)/python -m pytest tests; ended=$$?; wait $$brief || ended=1; cat $$report; rm -f $$report; exit $$ended

integration: $(STAMP) ## all of e2e/ that the embedded cluster can stand in for (ten minutes)
	$(BIN)/python -m pytest e2e --server embedded

controlplane: $(STAMP) ## build kube-apiserver, scheduler, controller-manager, etcd, kubectl (needs Go)
	$(BIN)/python -m e2e.controlplane.build

tools: $(STAMP) ## build helm and kind (needs Go)
	$(BIN)/python -m e2e.tools.build

chart: $(STAMP) controlplane tools ## the chart: helm lint, many sets of values put to a real API server, a release from install to uninstall (needs Go)
	$(BIN)/python -m pytest tests/helm
	$(BIN)/python -m pytest e2e/chart --server real

e2e: $(STAMP) controlplane tools ## the API suite and the operator against a real control plane (needs Go)
	$(BIN)/python -m pytest tests/conformance --server real
	$(BIN)/python -m pytest e2e --server real -m alone
	@# The others mostly wait for kubelets and leases: two at once, each with a control plane of its own.
	$(BIN)/python -m pytest e2e --server real -m "not alone" --numprocesses 2 --dist loadfile

image: $(STAMP) ## the operator's image; PLATFORMS=linux/amd64,linux/arm64 by buildx; without a registry see docs/air-gapped.md
	$(BIN)/python -m e2e.kind image $(PLATFORMS)

kind-node-image: $(STAMP) ## a node image for kind from Debian packages and Go modules, without a registry (needs root and Go)
	$(BIN)/python -m e2e.kind node-image

e2e-kind: $(STAMP) ## the chart and real gangs on kind: with Docker, or as root on Debian without (needs Go)
	$(BIN)/python -m e2e.kind test

demo: $(STAMP) ## a 4,608-GPU cluster in this machine's memory, gangs scheduled on it, in a minute (muster demo --help)
	$(BIN)/muster demo

faults: $(STAMP) ## 5,000 plans of faults and 2,000 storms in simulated time (twenty minutes on two cores; docs/simulation.md)
	$(BIN)/python -m muster.sim systematic --share 6 --pairs 20
	$(BIN)/python -m muster.sim storms --many 2000

mutants: $(STAMP) ## deliberate defects, and which lane finds them
	PYTHONPATH=. $(BIN)/python -m tests.mutants

oracle: $(STAMP) ## the solver against CP-SAT on 5,000 random states, what it says would start gangs on 1,000 (twenty minutes)
	PYTHONPATH=. $(BIN)/python -m tests.core.placement.run_oracle
	PYTHONPATH=. $(BIN)/python -m tests.core.placement.run_changes

bench-placement: $(STAMP) ## time and quality of placement, written to benchmarks/results
	$(BIN)/python -m benchmarks.placement

bench-queue: $(STAMP) ## the queue with 20,000 waiting jobs, written to benchmarks/results
	$(BIN)/python -m benchmarks.queue

bench: $(STAMP) controlplane bench-queue ## figures and ratios, written to benchmarks/results
	$(BIN)/python -m benchmarks

crds: $(STAMP) ## write crds/ from the models, the chart's copy, and the refusals in docs/troubleshooting.md
	$(BIN)/muster crds --output crds
	$(BIN)/python helm/generate.py
	$(BIN)/python docs/refusals.py

settings: $(STAMP) ## write docs/settings.md and the chart's values from the settings, docs/monitoring.md from the metrics
	$(BIN)/muster settings --markdown > docs/settings.md
	$(BIN)/python docs/monitoring.py
	$(BIN)/python helm/generate.py

pictures: $(STAMP) ## draw the pictures of docs/ anew (a minute: one is of a run of the demo)
	$(BIN)/python docs/placement_pictures.py
	$(BIN)/python docs/picture.py

clean: ## remove .venv and caches
	rm -rf $(VENV) $(CHECKOV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
