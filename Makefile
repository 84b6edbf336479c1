# make demo    a contact sheet, demo/index.html and an atlas in demo/atlas, by the embedded network
# make gallery what the source documents show, drawn and measured, in docs/gallery
# make test    every test
# make check   format, lint, strict types, layers, and the built wheel in an empty environment
#
# Each makes the environment it needs. PYTHON chooses the interpreter (3.10 or newer), VENV the environment's folder,
# TESTERS how many processes share the tests' files.

PYTHON ?= python3
VENV ?= .venv
TESTERS ?= 2
BIN = $(VENV)/bin
INSTALLED = $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo gallery test check format

help: ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

install: $(INSTALLED) ## the environment, with everything that development needs

# Made anew when the dependencies change, and not before.
$(INSTALLED): pyproject.toml tools/install
	tools/install "$(PYTHON)" "$(VENV)"
	@touch $@

demo: $(INSTALLED) ## a contact sheet, demo/index.html and an atlas in demo/atlas, by the embedded network
	$(BIN)/pellucid demo

gallery: $(INSTALLED) ## what the source documents show, drawn and measured, in docs/gallery (about half an hour)
	$(BIN)/python -m gallery

test: $(INSTALLED) ## every test; those that need a browser, or data from outside the tree, say so when they skip
	@tools/chromium || true
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile

check: $(INSTALLED) ## format, lint, strict types, layers, and the built wheel in an empty environment
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=src $(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -m wheel tests/project

format: $(INSTALLED) ## write the format and the lint fixes that are safe
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
