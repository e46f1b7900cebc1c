"""How fast each framework trains a model, in units of what the machine can do at that moment.

`python benchmarks/throughput.py dcgan` plays each framework in a process of its own: rounds of the
bare `train_step` loop on fixed data, each between two single-precision matrix products in the same
process, which gauge the machine. `--whole` also runs the whole script, with data and logging, and
compares it with its bare loop.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from common.frameworks import PACKAGES, find_version

GAUGE = 2048  # side of the matrices

# In the child: one framework.


def load_script(framework, model):
    """The script as a module under a name of its own."""
    folder = ROOT / framework
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(f"{framework}_{model}", folder / f"{model}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def make_step(framework, script, shape, batch_size):
    """A function without arguments that takes one training step, and the networks' arrays."""
    import numpy as np

    bridge = script.bridge
    bridge.set_seed(0)
    bridge.find_device("cpu")
    config = script.Config()
    random = np.random.default_rng(0)
    height, width, channels = shape
    image = (channels, height, width) if bridge.CHANNELS_FIRST else shape
    images = random.uniform(-1, 1, (batch_size, *image)).astype(np.float32)
    noise = random.uniform(-1, 1, (2, batch_size, config.latent_dim)).astype(np.float32)
    g, d = script.Generator(shape, config.latent_dim), script.Discriminator(shape)
    arrays = bridge.get_arrays(g), bridge.get_arrays(d)
    rate = config.learning_rate
    if framework == "pytorch":
        import torch

        adam = {"lr": rate, "betas": (0.5, 0.999), "eps": 1e-8}
        optimizers = [torch.optim.Adam(network.parameters(), **adam) for network in (g, d)]
        inputs = torch.from_numpy(images), torch.from_numpy(noise)
    elif framework == "tensorflow":
        import tensorflow as tf

        adam = {"learning_rate": rate, "beta1": 0.5, "beta2": 0.999, "epsilon": 1e-8}
        optimizers = [script.Adam(network.trainable_variables, **adam) for network in (g, d)]
        inputs = tf.constant(images), tf.constant(noise)
    elif framework == "keras":
        adam = {"learning_rate": rate, "beta_1": 0.5, "beta_2": 0.999, "epsilon": 1e-8}
        players = script.players(g, d, script.Adam(**adam), script.Adam(**adam))
        return lambda: script.train_step(*players, images, noise), arrays
    else:
        adam = {"alpha": rate, "beta1": 0.5, "beta2": 0.999, "eps": 1e-8}
        optimizers = [script.Adam(**adam).setup(network) for network in (g, d)]
        inputs = images, noise
    return lambda: script.train_step(g, d, *optimizers, *inputs), arrays


def arithmetic(generator, discriminator, shape, batch_size):
    """Floating-point operations of a GAN's training step, two per multiply-add.

    A convolution does its kernel once per output pixel, a transposed one once per input pixel. G
    passes forward twice (for D's step and its own) and backward once; D forward three times (real,
    fake, G's step), backward twice, and in G's step through to its input. A backward pass costs two
    forward ones, for the weights and for the input; first layers need no input's gradient, but D's
    in G's step. Norms, activations and Adam are left out.
    """
    height, width, _ = shape

    def multiply_adds(arrays):
        counts = []
        side = [height, width] if "conv1.weight" in arrays else [height // 16, width // 16]
        for name, array in arrays.items():
            if not name.endswith("weight") or array.ndim == 1:
                continue
            if array.ndim == 2:
                counts.append(array.size)
                continue
            if name.startswith("conv"):
                side = [length // 2 for length in side]
            counts.append(array.size * side[0] * side[1])
            if name.startswith("deconv"):
                side = [length * 2 for length in side]
        return counts

    g, d = multiply_adds(generator), multiply_adds(discriminator)
    passes = sum(g) * (2 + 2) - g[0] + sum(d) * (3 + 2 * 2 + 1) - 2 * d[0]
    return 2 * batch_size * passes


def gauge():
    """Operations a second of a single-precision matrix product, right now."""
    import numpy as np

    a = np.ones((GAUGE, GAUGE), np.float32)
    start = time.perf_counter()
    count = 0
    while time.perf_counter() - start < 0.5:
        a @ a
        count += 1
    return count * 2 * GAUGE**3 / (time.perf_counter() - start)


def child(options):
    """Measure one framework and print the figures as JSON."""
    import resource

    script = load_script(options.child, options.model)
    shape = (options.image_size, options.image_size, 3)
    step, arrays = make_step(options.child, script, shape, options.batch_size)
    work = arithmetic(*arrays, shape, options.batch_size)
    for _ in range(3):  # compile, and settle
        losses = step()
    rounds = []
    gauge()
    for _ in range(options.rounds):
        before = gauge()
        start = time.perf_counter()
        for _ in range(options.steps):
            losses = step()
        [float(value) for value in losses.values()]  # all work is done
        seconds = (time.perf_counter() - start) / options.steps
        after = gauge()
        rounds.append({"seconds": seconds, "share": 2 * work / seconds / (before + after)})
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rounds": rounds, "memory": memory}))


# In the parent: all frameworks.


def measure(framework, options, **more):
    """Run the child for one framework."""
    settings = {**vars(options), **more}
    command = [sys.executable, __file__, options.model, "--child", framework]
    for name in ("steps", "rounds", "batch_size", "image_size"):
        command += ["--" + name.replace("_", "-"), str(settings[name])]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{framework} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def whole(framework, options):
    """Seconds a step of the whole script, from its metrics.csv, without the first rows."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        steps = 10 * (options.steps + 1)
        command = [sys.executable, str(ROOT / framework / f"{options.model}.py"), "--out", str(out)]
        command += ["--image-size", str(options.image_size), "--device", "cpu"]
        command += ["--batch-size", str(options.batch_size), "--steps", str(steps)]
        command += ["--sample-every", str(steps), "--checkpoint-every", str(steps)]
        subprocess.run(command, check=True, capture_output=True)
        with open(out / "metrics.csv", newline="") as file:
            rates = [float(row["images_per_second"]) for row in csv.DictReader(file)]
        return options.batch_size / statistics.median(rates[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="dcgan", help="default: dcgan")
    parser.add_argument(
        "--frameworks", default=",".join(PACKAGES), metavar="A,B", help="default: all installed"
    )
    parser.add_argument("--steps", type=int, default=6, help="steps in a round (default: 6)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--batch-size", type=int, default=64, help="default: 64")
    parser.add_argument("--image-size", type=int, default=32, help="default: 32")
    parser.add_argument("--whole", action="store_true", help="measure the whole script as well")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    heads = ["framework", "images/s", "ms/step", "share of gauge", "of PyTorch", "memory MiB"]
    heads += ["whole script / bare loop"] if options.whole else []
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    reference = None
    for framework in options.frameworks.split(","):
        if not find_version(framework):
            print(f"{framework} is not installed and is left out", file=sys.stderr)
            continue
        print(f"measuring {framework} ...", file=sys.stderr)
        found = measure(framework, options)
        seconds = statistics.median(row["seconds"] for row in found["rounds"])
        share = statistics.median(row["share"] for row in found["rounds"])
        reference = reference or (share if framework == "pytorch" else None)
        cells = [framework, f"{options.batch_size / seconds:.0f}", f"{1000 * seconds:.0f}"]
        cells += [f"{share:.2f}", f"{share / reference:.2f}" if reference else ""]
        cells += [f"{found['memory']:.0f}"]
        if options.whole:
            ratios = []
            for _ in range(2):
                script_seconds = whole(framework, options)
                again = measure(framework, options, rounds=2)
                bare = statistics.median(row["seconds"] for row in again["rounds"])
                ratios.append(bare / script_seconds)
            cells.append(f"{statistics.mean(ratios):.2f}")
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
