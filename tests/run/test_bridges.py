"""Between a framework's parameters and a checkpoint: nested blocks, declared layouts, no silence.

Each framework makes the same small network with a block in a block, in a process of its own.
"""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.bridges.protocol import Bridge
from tests.support.ports import FRAMEWORKS, chosen_ports, environment, run_probe
from tools.library.scripts import ROOT

PORTS = chosen_ports()

# A network with a list of two blocks of a convolution and a norm, then a transposed convolution and
# a dense layer; the same with a layer that no bridge knows; and with a name too much.
NETWORKS = {
    "pytorch": """
from torch import nn
class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(2)
class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.deconv = nn.ConvTranspose2d(2, 4, 3)
        self.dense = nn.Linear(5, 6)
network, stranger = Network(), None
""",
    "tensorflow": """
import sys; sys.path.insert(0, "tensorflow")
import tensorflow as tf, layers
class Block(tf.Module):
    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(2, 2, 3, padding="VALID", use_bias=False)
        self.norm = layers.BatchNormalization(2, epsilon=1e-5, momentum=0.9)
class Network(tf.Module):
    def __init__(self):
        super().__init__()
        self.blocks = [Block(), Block()]
        self.deconv = layers.Conv2DTranspose(2, 4, 3, padding="VALID")
        self.dense = layers.Dense(5, 6)
network, stranger = Network(), Network()
stranger.lost = [tf.Variable(1.0)]
""",
    "keras": """
import keras
from keras import layers
def block(x, name):
    given = keras.Input(x.shape[1:])
    y = layers.Conv2D(2, 3, use_bias=False, name="conv")(given)
    y = layers.BatchNormalization(name="norm")(y)
    return keras.Model(given, y, name=name)(x)
image, numbers = keras.Input((9, 9, 2)), keras.Input((5,))
blocks = keras.Model(image, block(block(image, "0"), "1"), name="blocks")
x = layers.Conv2DTranspose(4, 3, name="deconv")(blocks(image))
network = keras.Model([image, numbers], [x, layers.Dense(6, name="dense")(numbers)])
stranger = keras.Model(image, layers.DepthwiseConv2D(3)(image))
""",
    "chainer": """
import chainer, chainer.links as L
class Block(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(2, 2, 3, nobias=True)
            self.norm = L.BatchNormalization(2)
class Network(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.blocks = chainer.ChainList(Block(), Block())
            self.deconv = L.Deconvolution2D(2, 4, 3)
            self.dense = L.Linear(5, 6)
network, stranger = Network(), chainer.Chain(lost=L.Bias(0, (3,)))
""",
}
PROGRAM = """
import importlib, json, sys
import numpy as np
bridge = importlib.import_module("common.bridges.{framework}")
bridge.prepare(0, "cpu", "float64")
{network}
random = np.random.default_rng(0)
arrays = bridge.get_arrays(network)
numbers = {{name: random.normal(size=array.shape) for name, array in arrays.items()}}
bridge.set_arrays(network, numbers)
back = bridge.get_arrays(network)
said = {{name: (list(array.shape), str(array.dtype)) for name, array in back.items()}}
same = all((back[n] == a.astype(back[n].dtype)).all() for n, a in numbers.items())
refused = []
first = next(iter(numbers))
for wrong in (numbers | {{"blocks.2.conv.weight": numbers[first]}},
              {{name: array for name, array in numbers.items() if name != first}}):
    try:
        bridge.set_arrays(network, wrong)
    except (KeyError, RuntimeError) as error:
        refused.append(type(error).__name__)
strange = "none"
if stranger is not None:
    try:
        bridge.get_arrays(stranger)
    except TypeError:
        strange = "refused"
print(json.dumps({{"said": said, "same": same, "refused": len(refused), "strange": strange}}))
"""


@pytest.mark.parametrize("port", PORTS)
def test_a_nested_network_goes_to_a_checkpoint_and_back(port: str) -> None:
    framework = port.partition("-")[0]
    program = PROGRAM.format(framework=framework, network=NETWORKS[framework])
    said = run_probe(port, "-c", program)
    found = json.loads(said.splitlines()[-1])
    shapes = {"deconv.weight": [2, 4, 3, 3], "deconv.bias": [4]}
    shapes |= {"dense.weight": [6, 5], "dense.bias": [6]}
    for block in ("blocks.0", "blocks.1"):
        shapes[f"{block}.conv.weight"] = [2, 2, 3, 3]
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{block}.norm.{name}"] = [2]
    assert found["said"] == {name: [shape, "float64"] for name, shape in shapes.items()}
    assert found["same"]
    assert found["refused"] == 2
    assert found["strange"] == ("none" if framework == "pytorch" else "refused")


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_keras_on_another_backend_needs_no_tensorflow(tmp_path: Path, backend: str) -> None:
    """Though Keras asks for it, and the suite has a folder of that name."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for package in Path(np.__file__).parents[1].iterdir():
        if not package.name.startswith("tensorflow") and package.suffix != ".pth":
            (packages / package.name).symlink_to(package)
    script = str(ROOT / "keras" / "gan.py")
    done = subprocess.run(
        [sys.executable, "-S", script, "--image-size", "8", "--steps", "1", "--batch-size", "2"],
        cwd=tmp_path,
        env=environment(f"keras-{backend}", PYTHONPATH=str(packages)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_bridge_offers_what_a_run_asks_of_it(framework: str) -> None:
    source = (ROOT / "common" / "bridges" / f"{framework}.py").read_text(encoding="utf-8")
    offered = {
        node.name: len(node.args.args)
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
    }
    asked = {
        name: len(inspect.signature(method).parameters) - 1
        for name, method in vars(Bridge).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }
    assert len(asked) > 9
    assert {name: offered.get(name) for name in asked} == asked
