# One door per chore. `make demo` and `make test` do everything on a fresh machine with Python 3.10 or newer.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
EDGE = .venv-edge
OPTIMUM = .venv-optimum
CAMPAIGN_MINUTES ?= 30
TEST_PROCESSES ?= 2
# A process has one thread: two that share their threads' cores wait for each other.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile
EMULATE = PYTHON=$(CURDIR)/$(BIN)/python tests/emulation/emulate.sh

.DELETE_ON_ERROR:
.PHONY: install demo test slow check optimum dist edge wheel-smoke emulation campaign real docs clean

install: $(VENV)/ready

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,dev,peers,plots,tune,static,ocr,hub,heic,parquet,ray,serve,tensorboard,mlflow,docs]"
	touch $@

demo: install  ## train, distil, export, measure and predict on generated images
	rm -rf demo
	$(BIN)/distill demo --out demo

test: install  ## everything that needs neither network nor real data
	$(PYTEST) -m "not real and not slow"

slow: install  ## the tests that take minutes, by name
	$(PYTEST) -m slow

check: install  ## style, types and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(OPTIMUM)/ready: pyproject.toml constraints.txt constraints-optimum.txt
	$(PYTHON) -m venv $(OPTIMUM)
	$(OPTIMUM)/bin/python -m pip install --quiet --upgrade pip
	awk -F '[=;]' 'FNR == NR { own[$$1]; print; next } !($$1 in own)' constraints-optimum.txt constraints.txt \
		> $(OPTIMUM)/constraints.txt
	$(OPTIMUM)/bin/python -m pip install --quiet --constraint $(OPTIMUM)/constraints.txt --editable ".[train,optimum,dev]"
	touch $@

optimum: $(OPTIMUM)/ready  ## the peer that needs transformers 4, and with it the oldest that [train] takes
	$(OPTIMUM)/bin/python -c "import optimum.onnxruntime.quantization"
	OMP_NUM_THREADS=1 $(OPTIMUM)/bin/python -m pytest tests/bench/test_optimum.py

demo/bundle/manifest.json: | install
	$(MAKE) demo

dist: install  ## the sdist, and the wheel from it
	rm -rf dist
	$(BIN)/python -m build --quiet --outdir dist

edge: dist demo/bundle/manifest.json  ## the wheel alone, without torch, predicts with the demo's Bundle
	rm -rf $(EDGE)
	$(PYTHON) -m venv $(EDGE)
	$(EDGE)/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	$(EDGE)/bin/python -m pip check
	! $(EDGE)/bin/python -c "import torch" 2>/dev/null
	cd $(EDGE) && bin/python -c "from distill.core.settings.recipe import Recipe; Recipe.load()"
	cd $(EDGE) && bin/distill predict ../demo/bundle ../demo/data/images --out predictions.jsonl --overwrite && wc -l predictions.jsonl

wheel-smoke: dist demo/bundle/manifest.json  ## the wheel, with the demo's Bundle, on the oldest and newest Python here
	tests/wheel/smoke.sh demo/bundle demo/data/images dist/*.whl

emulation: demo/bundle/manifest.json  ## Bundles on arm64 and on x86 without VNNI, emulated (needs qemu-user-static)
	$(BIN)/distill export demo/student --data demo/data --int8 --target arm64 --recipe recipes/tiny.toml \
		--out demo/bundle-arm64 --overwrite
	$(EMULATE) arm64 .emulation -- verify demo/bundle-fp32
	$(EMULATE) arm64 .emulation -- verify demo/bundle-arm64
	EMULATE_CPU=cortex-a53 $(EMULATE) arm64 .emulation -- verify demo/bundle-arm64
	$(EMULATE) x86-avx2 .emulation -- verify demo/bundle-fp32
	$(EMULATE) x86-avx2 .emulation -- verify demo/bundle-arm64

campaign: install  ## inject faults for CAMPAIGN_MINUTES and count them; a short form is part of make slow
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[campaign]"
	$(BIN)/python docs/experiments campaign --minutes $(CAMPAIGN_MINUTES)

real: install  ## the chain on a slice of real memes; set DISTILL_REAL_DATA and DISTILL_REAL_WEIGHTS
	$(BIN)/python -m pytest -m real

docs: install  ## README.md and docs again, from docs/results and the code, and their site in .site/html; needs Python 3.11
	$(BIN)/python docs/experiments pages
	$(BIN)/python docs/experiments site
	$(BIN)/zensical build --strict --clean

clean:
	rm -rf $(VENV) $(EDGE) $(OPTIMUM) .emulation .site .cache demo dist build
