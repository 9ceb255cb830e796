# One door per chore. `make demo` and `make test` do everything on a fresh machine with Python 3.10 or newer.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
EDGE = .venv-edge

.PHONY: install demo test check edge real figures clean

install: $(VENV)/ready

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,dev]"
	touch $@

demo: install  ## train, distil, export, measure and predict on generated pictures
	rm -rf demo
	$(BIN)/distill demo --out demo

test: install  ## everything that needs neither network nor real data
	$(BIN)/python -m pytest -m "not real"

check: install  ## style, types and who may import whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

demo/bundle/manifest.json: | install
	$(MAKE) demo

edge: demo/bundle/manifest.json  ## the wheel alone, without torch, predicts with the demo's Bundle
	rm -rf $(EDGE) dist
	$(BIN)/python -m build --quiet --wheel --outdir dist
	$(PYTHON) -m venv $(EDGE)
	$(EDGE)/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	! $(EDGE)/bin/python -c "import torch" 2>/dev/null
	cd $(EDGE) && bin/python -c "from distill.recipe import Recipe; Recipe.load()"
	cd $(EDGE) && bin/distill predict ../demo/bundle ../demo/data/images --out answers.jsonl && wc -l answers.jsonl

real: install  ## the chain on a slice of real memes; set DISTILL_REAL_DATA and DISTILL_REAL_WEIGHTS
	$(BIN)/python -m pytest -m real

figures: install  ## the README's table again from docs/results/bench.json
	$(BIN)/python docs/make_figures.py

clean:
	rm -rf $(VENV) $(EDGE) demo dist build
