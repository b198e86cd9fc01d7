# Everything sets itself up: python3 with venv is all that a fresh machine needs.
PYTHON ?= python3
RUN := .venv/bin

.PHONY: demo test check lint docs install clean

demo: .venv/installed
	$(RUN)/cornernet demo

test: .venv/installed lint
	$(RUN)/python -m pytest -n auto --dist loadfile -m "not slow"

check: .venv/installed lint
	$(RUN)/python -m pytest -n auto --dist loadfile

lint: .venv/installed
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/pyright

docs: .venv/installed
	$(RUN)/mkdocs build --quiet --strict
	@echo "open build/docs/index.html"

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(RUN)/pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	@touch $@

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache src/*.egg-info
