"""Prints as JSON what the peers of a framework do that have networks of their own.

`python tests/probes/quality_probe.py FRAMEWORK FOLDER` builds each, has it learn from a few images,
and draws; then trains our VAE and a peer's for a moment, as the campaign's child does, into the
folder.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from common.data import Data
from common.data.sizes import resize
from tools.library import drawing
from workshop.peers import quality
from workshop.peers.learner import Learner
from workshop.peers.quality import EVERYONE, PEERS, Quality, Trial, call

IMAGES = 10


def build(who: Quality, channels: int = 1) -> Learner:
    """A peer for ten classes of 28 x 28 pixels, always with the same seed."""
    module = importlib.import_module(f"workshop.peers.own_{who.framework}")
    module.seed(1)
    return getattr(module, f"{who.name}_{who.model}")((28, 28, channels), 10)


def count(weights: dict[str, list[np.ndarray]]) -> dict[str, int]:
    """How many numbers each network has."""
    return {name: sum(array.size for array in arrays) for name, arrays in weights.items()}


def describe(who: Quality) -> dict[str, Any]:
    """What a peer is, and does in a few steps."""
    data = Data("digits")
    learner = build(who)
    images = resize(data.train.images[:IMAGES], learner.side)
    labels = data.train.labels[:IMAGES]
    found: dict[str, Any] = {"side": learner.side, "batch": learner.batch_size}
    if learner.encode and (decode := learner.decode):
        networks = {"encoder": learner.encode, "decoder": lambda z: (decode(z),)}
        random = np.random.default_rng(0)
        bounds = drawing.estimate_bounds(call, networks, images, "float32", random)
        found["bound"] = bounds["ELBO"]
    before = learner.weights()
    losses = [
        {name: float(value) for name, value in learner.step(images, labels).items()}
        for _ in range(2)
    ]
    after = learner.weights()
    noise = [np.random.default_rng(seed) for seed in (0, 0, 0, 1)]
    drawn = [learner.draw(noise[n], np.full(3, n == 1, np.int64)) for n in (0, 1, 2, 3)]
    return found | {
        "counts": count(after),
        "colour counts": count(build(who, 3).weights()),
        "trained": {
            name: [bool((old != new).any()) for old, new in zip(arrays, after[name], strict=True)]
            for name, arrays in before.items()
        },
        "losses": losses,
        "drawn": list(drawn[0].shape),
        "dtype": str(drawn[0].dtype),
        "deviation": float(drawn[0].std()),
        "of another class": bool((drawn[0] != drawn[1]).any()),
        "again": bool((drawn[0] != drawn[2]).any()),
        "of other noise": bool((drawn[0] != drawn[3]).any()),
    }


def main() -> None:
    """Describe the peers; then two trials, ours and a peer's."""
    framework, folder = sys.argv[1], Path(sys.argv[2])
    quality.RUNS = folder
    found: dict[str, Any] = {
        f"{who.model} {who.name}": describe(who) for who in PEERS if who.framework == framework
    }
    for who in EVERYONE:
        if (who.model, who.framework) == ("vae", framework) and who.name != "ours_20":
            trial = Trial(who, "digits", 1, 0.005)
            quality.child(trial, 80)
            found[f"trial {who.name}"] = json.loads((trial.folder / "found.json").read_text())
            found[f"samples {who.name}"] = list(np.load(trial.folder / "samples.npy").shape)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
