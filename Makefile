# demo and test set everything up themselves; nothing outside this folder, $HOME/.cache and $KEFU_HOME is written.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
DEVICE := $(if $(shell command -v nvidia-smi),cuda,cpu)
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check --no-deps
BIN := .venv/bin

.PHONY: demo test check verify bench serve schemas engine clean

demo: .venv/.$(DEVICE) engine           ## set-up and the whole main job on the embedded model, then a conversation
	$(BIN)/kefu demo

test: .venv/.$(DEVICE)                  ## set-up and the suite: offline, no engine
	$(BIN)/python -m pytest -m "not engine and not services and not gpu and not slow"

check: .venv/.$(DEVICE)                 ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

verify: .venv/.$(DEVICE) engine check   ## everything that is marked, on a real engine, and the demo
	$(BIN)/python -m pytest -m "not gpu"
	$(MAKE) demo

bench: .venv/.$(DEVICE)                 ## what the gateway adds to an answer, and its memory over 100,000 (minutes; an idle machine)
	$(BIN)/python -m tests.serving.overhead --requests 100000

serve: .venv/.$(DEVICE) engine          ## the champion, with a signed-in demo customer
	$(BIN)/kefu serve --demo

schemas: .venv/.$(DEVICE)               ## data/tools.json from the typed functions; ALL=1 or TOOLS="name ..." choose others than it lists
	$(BIN)/python -m serving.schemas $(if $(ALL),--all,$(TOOLS))

engine: .venv-engine/.$(DEVICE)

clean:                                  ## the two environments; $KEFU_HOME stays
	rm -rf .venv .venv-engine

.venv/.cpu: locks/main-cpu.txt locks/torch-cpu.txt pyproject.toml
	$(call environment,.venv)
	$(call cpu_torch,.venv)
	.venv/bin/python $(PIP_INSTALL) -r locks/main-cpu.txt
	.venv/bin/python $(PIP_INSTALL) --no-build-isolation --editable .
	touch $@

.venv/.cuda: locks/main-cuda.txt pyproject.toml
	$(call environment,.venv)
	.venv/bin/python $(PIP_INSTALL) -r locks/main-cuda.txt
	.venv/bin/python $(PIP_INSTALL) --no-build-isolation --editable .
	touch $@

.venv-engine/.cpu: locks/engine-cpu.txt locks/torch-cpu.txt
	$(call environment,.venv-engine)
	$(call cpu_torch,.venv-engine)
	.venv-engine/bin/python $(PIP_INSTALL) -r locks/engine-cpu.txt
	touch $@

.venv-engine/.cuda: locks/engine-cuda.txt
	$(call environment,.venv-engine)
	.venv-engine/bin/python $(PIP_INSTALL) -r locks/engine-cuda.txt
	touch $@

define environment
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	|| { echo "Kefu needs Python 3.11; $(PYTHON) is another. Install it, or say make PYTHON=/path/to/python3.11"; exit 3; }
@echo "Setting up $(1): one to three minutes"
test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
endef

# The CPU build of torch is not on PyPI: first whatever pip is configured to find, then PyTorch's own index.
define cpu_torch
$(1)/bin/python $(PIP_INSTALL) -r locks/torch-cpu.txt 2>/dev/null \
	|| $(1)/bin/python $(PIP_INSTALL) -r locks/torch-cpu.txt --index-url https://download.pytorch.org/whl/cpu
endef
