# Needs Python >= 3.11 and make. Every target first creates .venv and installs the locked versions.
#   make demo     run the example pipelines in a real Airflow
#   make test     run the tests (ARGS="-k rate" selects some)
#   make e2e      run whole deployments: crashes, a cluster, a browser (ARGS="tests/e2e/browser" selects some)
#   make pictures make the pictures of the documentation again (ARGS="tests/e2e/browser/test_gallery.py" selects some)
#   make bench    measure the provider beside its alternatives; writes benchmarks/RESULTS.md
#   make coverage run the unit tests; fail below 100 % branch coverage of all layers but ui/ and cli/
#   make mutation mutate api/ and report mutants that survive the tests (ARGS="thousandeyes_provider.api.retry*")
#   make nox      run the tests on every supported Airflow and Python (ARGS="-t quick" for one Python each)
#   make ui       check and build the report pages (needs Node.js >= 20.19); nothing else but dist needs them
#   make dist     build wheel and sdist into dist/, and test each in its own environment
#   make docs     build the documentation into site/, offline; warnings and dead links are errors
#   make lint     ruff, format check, mypy
#   make format   format and fix with ruff
#   make lock     pin the newest versions that requirements/dev.in allows
# PYTHON=/path/to/python chooses the interpreter.

.DEFAULT_GOAL := test

PYTHONS := $(or $(PYTHON),python3.12 python3.13 python3.11 python3 python)
VENV := .venv
PY := $(VENV)/bin/python
UV := $(PY) -m uv
STAMP := $(VENV)/.installed
LOCK := requirements/dev.txt
E2E_VENV := .venv-e2e
WEB := thousandeyes_provider/ui/web
BUNDLE := thousandeyes_provider/ui/bundle
E2E_LOCK := requirements/e2e.txt
DIST_TRY := $(CURDIR)/build/dist

# uv has its own CA certificates. Use the system's where it has some, as pip does, to include those of a proxy.
ifneq (,$(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))
export UV_SYSTEM_CERTS ?= true
endif
# uv does not read pip's settings: pass on the index URL.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Containers often set this. Without stored bytecode, every process compiles Airflow again, which doubles its import time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test ui e2e pictures bench coverage mutation nox dist docs lint format lock venv clean

demo: $(STAMP)
	@$(PY) demo/run.py

test: $(STAMP)
	@$(PY) -m pytest $(ARGS)

# Airflow with Celery, PostgreSQL and a browser has its own, larger environment. Tests of the report pages need npm.
e2e: $(E2E_VENV)/.installed $(if $(shell command -v npm),$(BUNDLE)/report.js)
	@tests/e2e/system-packages
	@THOUSANDEYES_E2E=$(or $(THOUSANDEYES_E2E),1) $(E2E_VENV)/bin/python -m pytest -n0 $(or $(ARGS),tests/e2e)

pictures:
	@THOUSANDEYES_PICTURES=1 $(MAKE) --no-print-directory e2e ARGS="$(or $(ARGS),tests/e2e/browser)"

bench: $(STAMP)
	@$(PY) benchmarks/run.py $(ARGS)

coverage: $(STAMP)
	@$(PY) -m pytest tests/unit --cov $(ARGS)

mutation: $(STAMP)
	@$(PY) -m mutmut run $(ARGS); $(PY) -m mutmut results

nox: $(STAMP)
	@$(PY) -m nox $(ARGS)

# The report pages for Airflow's web interface and for HTML files. The bundle is not committed; without it, Airflow shows
# no report pages, and everything else works.
ui: $(WEB)/node_modules/.package-lock.json
	npm --prefix $(WEB) run check
	npm --prefix $(WEB) run build
	@gzip --version >/dev/null 2>&1 && for file in $(BUNDLE)/*.js; do \
		echo "$$file: $$(wc -c <$$file) bytes, $$(gzip -9c $$file | wc -c) gzipped"; done

$(BUNDLE)/report.js: $(WEB)/node_modules/.package-lock.json $(shell find $(WEB)/src $(WEB)/public -type f 2>/dev/null) $(WEB)/vite.config.ts
	npm --prefix $(WEB) run build

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	@command -v npm >/dev/null || { echo "The report pages need Node.js >= 20.19 with npm; it was not found." >&2; exit 1; }
	npm --prefix $(WEB) ci
	@touch $@

# Built with the locked hatchling. tests/system/test_packaging.py then tests each wheel without the source tree: from another
# folder, with only the distribution, Airflow and pytest installed.
dist: $(STAMP) $(BUNDLE)/report.js
	rm -rf dist $(DIST_TRY)
	$(UV) build --quiet --no-build-isolation --python $(PY) --sdist --wheel --out-dir dist
	$(UV) build --quiet --no-build-isolation --python $(PY) --wheel --out-dir $(DIST_TRY)/from-sdist dist/*.tar.gz
	$(PY) -m twine check --strict dist/* $(DIST_TRY)/from-sdist/*.whl
	@for wheel in $(CURDIR)/dist/*.whl $(DIST_TRY)/from-sdist/*.whl; do \
		echo "Testing $$wheel"; \
		$(UV) venv --quiet --clear --python $(PY) $(DIST_TRY)/venv && \
		$(UV) pip install --quiet --python $(DIST_TRY)/venv/bin/python --constraint $(LOCK) \
			"$$wheel" pytest pytest-xdist && \
		(cd $(DIST_TRY) && AIRFLOW_HOME=$(DIST_TRY)/airflow THOUSANDEYES_WHEEL="$$wheel" venv/bin/python -m pytest \
			--noconftest -p no:cacheprovider -n0 $(CURDIR)/tests/system/test_packaging.py) || exit 1; \
	done
	@ls -l dist

docs: $(STAMP)
	@$(PY) -m sphinx --fail-on-warning --keep-going --nitpicky --quiet --jobs auto \
		--doctree-dir build/doctrees docs site
	@echo "site/index.html is built; its external links are listed in site/external-links.txt"

lint: $(STAMP)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

format: $(STAMP)
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

venv: $(STAMP)

# Versions only: without hashes, comments and index addresses the file is the same on every machine.
lock: $(STAMP)
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file $(LOCK) pyproject.toml requirements/dev.in
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file $(E2E_LOCK) pyproject.toml requirements/e2e.in

clean:
	rm -rf $(VENV) $(E2E_VENV) $(WEB)/node_modules $(BUNDLE) .e2e .nox site .demo .airflow* build dist mutants .coverage* .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Version managers leave stubs on the PATH that fail, so each candidate is run.
# uv's version comes from the lock file as well. `uv pip sync` removes what the lock file does not name, except pip.
$(STAMP): $(LOCK) pyproject.toml
	@usable() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	if ! usable $(PY) || ! $(PY) -m pip --version >/dev/null 2>&1; then \
		for candidate in $(PYTHONS); do \
			if usable "$$candidate"; then found=$$candidate; break; fi; \
		done; \
		if [ -z "$${found:-}" ]; then \
			echo "No Python 3.11 or later found; tried $(PYTHONS)." >&2; \
			echo "Install one, or pass it: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; \
		fi; \
		echo "Creating $(VENV) with $$("$$found" --version)"; \
		rm -rf $(VENV); \
		if ! "$$found" -m venv $(VENV); then \
			rm -rf $(VENV); \
			echo "$$found cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
		fi; \
	fi
	@echo "Installing the versions in $(LOCK)"
	@$(PY) -m pip install --quiet "$$(grep '^uv==' $(LOCK))"
	@$(UV) pip sync --quiet --python $(PY) $(LOCK)
	@$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@touch $@

$(E2E_VENV)/.installed: $(STAMP) $(E2E_LOCK)
	@echo "Installing the versions in $(E2E_LOCK)"
	@$(UV) venv --quiet --clear --python $(PY) $(E2E_VENV)
	@$(UV) pip sync --quiet --python $(E2E_VENV)/bin/python $(E2E_LOCK)
	@$(UV) pip install --quiet --python $(E2E_VENV)/bin/python --no-deps --no-build-isolation --editable .
	@touch $@
