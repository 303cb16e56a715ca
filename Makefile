# make demo   install, and stylize a sample clip into stylized.mp4
# make test   install the test tools, then run ruff, mypy, the import contracts and the tests
# make prove  run the long proofs (kills, fuzzing, soak)
# make lint   run ruff, mypy and the import contracts only
# make bench  measure speed and memory on this machine
# make gallery PAINTINGS=folder PHOTOS=folder  train the bundled styles again; stop and start it at any time
# make clean  delete the environment, builds and caches

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PACKAGES = python3-venv python3-dev libgl1 libglib2.0-0 g++

.PHONY: demo test prove lint bench gallery system clean

demo: $(VENV)/.installed
	$(BIN)/flowbrush video sample_videos/harbor.mp4 stylized.mp4 --style great-wave --overwrite
	@echo "Done: open stylized.mp4, then try your own: $(BIN)/flowbrush video INPUT OUTPUT --style starry-night"

# Tests of live sessions need the machine for themselves; all others share its processors.
test: lint
	$(BIN)/python -m pytest -m "not prove and not realtime" --numprocesses auto --maxprocesses 4 --dist worksteal
	$(BIN)/python -m pytest -m "not prove and realtime"

prove: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m prove --timeout 3600

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/memory.py

gallery: $(VENV)/.installed
	$(BIN)/python benchmarks/train_gallery.py --paintings "$(PAINTINGS)" --photos "$(PHOTOS)" --loss-weights $(LOSS) $(GALLERY)

# Check before anything is installed: a missing library would fail much later, with an obscure message.
system:
	@missing=""; PATH="$$PATH:/usr/sbin:/sbin"; \
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "Python 3.11 or newer is required; choose one with make PYTHON=..."; exit 1; }; \
	$(PYTHON) -c "import venv, ensurepip" 2>/dev/null || missing="$$missing python3-venv"; \
	$(PYTHON) -c "import os, sysconfig; os.stat(sysconfig.get_path('include') + '/Python.h')" 2>/dev/null || missing="$$missing python3-dev"; \
	if [ "$$(uname)" = Linux ] && command -v ldconfig >/dev/null; then \
		ldconfig -p | grep -q 'libGL\.so\.1' || missing="$$missing libgl1"; \
		ldconfig -p | grep -q 'libgthread-2\.0\.so\.0' || missing="$$missing libglib2.0-0"; \
	fi; \
	command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || missing="$$missing g++"; \
	if [ -n "$$missing" ]; then \
		echo "missing on this system:$$missing"; \
		echo "on Debian and Ubuntu: sudo apt-get install -y $(PACKAGES)"; \
		exit 1; \
	fi

$(BIN)/python: | system
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | system $(BIN)/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | system $(BIN)/python
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e ".[cluster,cpu,studio,dev]"
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build *.egg-info stylized.mp4 .pytest_cache .mypy_cache .ruff_cache
