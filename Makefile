# Everything a developer does, one word each. CONTRIBUTING.md says when.
RUN = uv run

.PHONY: check test snap sim chaos training bench run

check:  ## style, types and import contracts
	$(RUN) pytest -q tests/quality

test:  ## everything, as CI does
	$(RUN) pytest

snap:  ## accept the screens as they are now; look at snapshot_report.html first
	$(RUN) pytest -q tests/console --snapshot-update

sim:  ## many fault schedules; MINUTES=60 make sim
	$(RUN) python -m tests.simulation --minutes $(or $(MINUTES),10)

chaos:  ## real fleets, killed and cut off; MINUTES=60 make chaos
	$(RUN) python -m tests.chaos --minutes $(or $(MINUTES),10)

training: .train/bin/python  ## a real transformer that moves, and the callbacks with their frameworks; TORCH=WHEEL for one without CUDA
	$(RUN) pytest -s tests/examples/test_transformer.py tests/client/test_callback_real.py

.train/bin/python:
	python3 -m venv .train
	.train/bin/pip install -q $(or $(TORCH),torch) -r examples/transformer/requirements.txt lightning keras || { rm -rf .train; exit 1; }

bench:  ## all figures of docs/performance.md
	$(RUN) python -m bench

run:  ## the console from this checkout
	$(RUN) opsconsole
