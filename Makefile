# Everything sets itself up: python3 with venv is all that a fresh machine needs.
PYTHON ?= python3
RUN := .venv/bin

.PHONY: demo test check lint docs docs-version install release clean

demo: .venv/small
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

# The pages of this version, beside those of older ones, as a commit on the branch `pages`; nothing is pushed.
docs-version: .venv/installed
	PATH="$(RUN):$$PATH" $(RUN)/mike deploy --branch pages --update-aliases \
		$$(sed -n 's/^version = "\([0-9]*\.[0-9]*\)\..*/\1/p' pyproject.toml) latest
	PATH="$(RUN):$$PATH" $(RUN)/mike set-default --branch pages latest

install: .venv/installed

PIP := $(RUN)/pip --disable-pip-version-check --quiet install -c constraints.txt

# What using it needs. On Linux without a GPU torch's CPU build saves gigabytes of CUDA; where its index is out of
# reach, the next line takes torch from PyPI.
.venv/small: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@if [ "$$(uname)" = Linux ] && ! command -v nvidia-smi > /dev/null; then \
		$(PIP) --no-deps --retries 0 --index-url https://download.pytorch.org/whl/cpu torch 2> /dev/null || true; fi
	$(PIP) -e .
	@touch $@

# What developing it needs.
.venv/installed: .venv/small
	$(PIP) -e '.[dev]'
	@touch $@

# Wheel, sdist, pins with hashes and a bill of materials in dist/, after a look for known weaknesses.
release: .venv/installed
	rm -rf dist build
	$(RUN)/pip --quiet install build twine uv pip-audit cyclonedx-bom
	$(RUN)/uv --quiet pip compile pyproject.toml --extra serve --extra export -c constraints.txt --universal \
		--python-version 3.11 --generate-hashes --no-header --output-file dist/requirements.lock
	$(RUN)/pip-audit --strict --requirement dist/requirements.lock --disable-pip
	$(RUN)/cyclonedx-py requirements dist/requirements.lock --output-file dist/sbom.json
	$(RUN)/python -m build --outdir dist
	$(RUN)/twine check dist/*.whl dist/*.tar.gz

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache src/*.egg-info
