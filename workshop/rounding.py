"""Measures how fast rounding grows in training, for docs/equality.md.

`python -m workshop.rounding MODEL [FLAG ...]` trains a model twice at the same time, in double
precision and at its default size: once as it is, and once from weights that differ by a rounding,
each by a random part of 1e-15 of its own size. It prints how far apart the losses are, step by
step, and by which factor a step widens the gap.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.run import launch
from tools.library.scripts import check_model, load_script

ROUNDING = 1e-15  # relative; double precision has 2.2e-16


def measure(framework: str, model: str, steps: int, flags: list[str]) -> np.ndarray:
    """The largest relative difference between the losses of both runs, by step: (steps,)."""
    script = load_script(framework, model)
    with tempfile.TemporaryDirectory() as folder:
        flags = [*flags, "--precision", "float64", "--steps", str(steps)]
        runs = [script.start([*flags, "--out", str(Path(folder) / out)]) for out in ("a", "b")]
        random = np.random.default_rng(0)
        for network in runs[1].networks.values():
            arrays = runs[1].bridge.get_arrays(network)
            for name, array in arrays.items():
                arrays[name] = array * (1 + ROUNDING * random.uniform(-1, 1, array.shape))
            runs[1].bridge.set_arrays(network, arrays)
        gaps = []
        for _ in tqdm(range(steps), desc=model, unit="step"):
            one, other = (
                {name: float(loss) for name, loss in script.learn(run, run.next_batch()).items()}
                for run in runs
            )
            gaps.append(max(abs(one[name] - other[name]) / abs(one[name]) for name in one))
    return np.array(gaps)


def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m workshop.rounding", description=__doc__)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--framework", default="pytorch")
    parser.add_argument("--steps", type=int, default=24)
    options, flags = parser.parse_known_args()
    check_model(options.model)
    gaps = measure(options.framework, options.model, options.steps, flags)
    for step, gap in enumerate(gaps, 1):
        print(f"step {step:3}: {gap:.1e}")
    seen = np.flatnonzero(gaps > ROUNDING)  # below, the gap is the rounding of the loss itself
    if len(seen) > 1:
        first, last = seen[0], seen[-1]
        factor = (gaps[last] / gaps[first]) ** (1 / (last - first))
        print(f"each step widens the gap {factor:.2f} times")


if __name__ == "__main__":
    launch(main)
