"""Keras' training steps: what they return stays on the device, and XLA compiles dense networks."""

from __future__ import annotations

import json

import pytest

from tests.support.ports import PORTS, chosen_ports, run_probe

PROBE = """
import json, sys
import numpy as np
from tools.library.scripts import load_script

made = {}
for model in ("ae", "convae"):
    script = load_script("keras", model)
    script.bridge.prepare(0, "cpu", "float32")
    networks, trainers = script.build(script.Config(), (16, 16, 3))
    images = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)
    first, second = (script.train_step(trainers, images)["reconstruction_loss"] for _ in range(2))
    made[model] = {
        "read": isinstance(first, float | np.ndarray),
        "traced": bool(getattr(first, "requires_grad", False)),
        "less": float(second) < float(first),
        "xla": trainers["autoencoder"].jit_compile is True,
    }
print(json.dumps(made))
"""
KERAS = [port for port in chosen_ports() if port in PORTS and port.startswith("keras")]


@pytest.mark.parametrize("port", KERAS)
def test_losses_stay_on_the_device(port: str) -> None:
    """Neither read, which would wait for the step, nor with all that led to them."""
    made = json.loads(run_probe(port, "-c", PROBE).splitlines()[-1])
    for model, found in made.items():
        assert not found["read"], model
        assert not found["traced"], model
        assert found["less"], model
    compiled = {model: found["xla"] for model, found in made.items()}
    if port == "keras":  # with convolutions it is many times slower so
        assert compiled == {"ae": True, "convae": False}
    elif port == "keras-torch":
        assert not any(compiled.values())
