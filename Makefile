# make demo       train a conditional GAN in PyTorch on handwritten digits for a few minutes
# make test       lint and all tests, with all four frameworks; a little of each model's proof
# make proof      the whole proof of equality, 50 steps in six ports, and every exercise;
#                 SINCE names a commit: of the models alone that have changed since then
# make quick      the tests that catch a fault in a script, within five minutes
# make elsewhere  the tests of numbers as an older processor would run them
# make hostile    kill runs and fuzz readers for an hour or more: docs/reliability.md
# make site       build the site into site/
# make test-gpu   the tests of numbers and of command lines on a GPU; QUARTET_PORTS names frameworks
#
# Each makes .venv and installs what it needs, once; after a failure, run it again.
# PYTHON names the interpreter: make test PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
DEMO_STEPS ?= 2500
JOBS ?= 2  # files that `make test` tests at a time, with up to 3 GiB of memory each

QUICK := $(addprefix tests/,proof/test_parity.py proof/test_dropout.py proof/test_frozen.py \
	scripts/test_twins.py scripts/test_settings.py)
PROOF := $(addprefix tests/,proof/test_parity.py proof/test_dropout.py proof/test_frozen.py \
	proof/test_processes.py tools/test_exercises.py)
NUMBERS := $(addprefix tests/,proof/test_parity.py proof/test_reference.py proof/test_penalty.py \
	scripts/test_command_lines.py)
OLDER := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 TF_ENABLE_ONEDNN_OPTS=0 \
	OPENBLAS_CORETYPE=Prescott OMP_NUM_THREADS=1
QUARTET_PORTS ?= pytorch,tensorflow,keras,chainer  # of quick, elsewhere and test-gpu
GPU := $(addprefix tests/,proof/test_gpu.py proof/test_parity.py proof/test_dropout.py \
	proof/test_frozen.py scripts/test_models.py scripts/test_command_lines.py)

.PHONY: demo test proof quick elsewhere hostile site test-gpu lint clean
.DEFAULT_GOAL := demo

demo: .venv/.ready-pytorch
	$(BIN)/python pytorch/cgan.py --dataset digits --filters 24 --learning-rate 0.0004 \
		--steps $(DEMO_STEPS) --out runs/demo-$$(date +%Y%m%d-%H%M%S)

test: lint
	$(BIN)/python -m pytest --numprocesses $(strip $(JOBS)) --dist loadfile

proof: .venv/.ready-test
	@models=$$($(BIN)/python -m workshop.changed $(SINCE)); echo "to be proven: $${models:-nothing}"; \
	test -z "$$models" || QUARTET_PROOF=1 QUARTET_MODELS=$$models \
		$(BIN)/python -m pytest --numprocesses $(strip $(JOBS)) --dist loadfile $(PROOF)
	test -n "$(SINCE)" || $(MAKE) elsewhere

quick: .venv/.ready-test
	QUARTET_PORTS=$(strip $(QUARTET_PORTS)) QUARTET_STEPS=3 $(BIN)/python -m pytest $(QUICK)

elsewhere: .venv/.ready-test
	$(OLDER) QUARTET_PORTS=$(strip $(QUARTET_PORTS)) QUARTET_STEPS=6 \
		$(BIN)/python -m pytest $(NUMBERS)

hostile: .venv/.ready-test
	QUARTET_KILLS=6 QUARTET_FUZZ=500000 $(BIN)/python -m pytest -s tests/run/test_kills.py tests/data/test_fuzz.py

site: .venv/.ready-site
	$(BIN)/python -m tools.site

# With what is installed: which build of each framework fits the GPU, docs/installation.md says.
test-gpu:
	QUARTET_DEVICE=gpu QUARTET_PORTS=$(strip $(QUARTET_PORTS)) $(PYTHON) -m pytest $(GPU)

lint: .venv/.ready-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright

# The stamp is written last: without it the installation is done again, over what is there.
.venv/.ready-%: $(wildcard requirements/*.txt)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "error: $$($(PYTHON) --version 2>&1) found, 3.11 to 3.13 needed; name one: make PYTHON=python3.11"; \
		exit 2; }
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/build.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -r requirements/$*.txt
	touch $@

clean:
	rm -rf .venv
