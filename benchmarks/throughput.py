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
import inspect
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
AUTOENCODERS = ("ae", "convae", "vae")

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


def make_networks(script, model, shape):
    """A model's networks, as its script's `main` makes them, for images of ten classes."""
    names = ("Encoder", "Decoder", "Generator", "Discriminator", "Critic")
    sizes = {"latent_dim": getattr(script.Config(), "latent_dim", None), "classes": 10}
    networks = []
    for constructor in (getattr(script, name) for name in names if hasattr(script, name)):
        wanted = list(inspect.signature(constructor).parameters)[1:]
        networks.append(constructor(shape, *(sizes[name] for name in wanted)))
    return networks


def make_optimizers(framework, script, model, networks):
    """The optimisers of `main`: one for both networks of an autoencoder, else one for each."""
    rate = script.Config().learning_rate
    groups = [networks] if model in AUTOENCODERS else [[network] for network in networks]
    rmsprop = model == "wgan"
    if framework == "pytorch":
        import torch

        weights = [[w for network in group for w in network.parameters()] for group in groups]
        if rmsprop:
            return [torch.optim.RMSprop(w, lr=rate, alpha=0.99, eps=1e-8) for w in weights]
        return [torch.optim.Adam(w, lr=rate, betas=(0.5, 0.999), eps=1e-8) for w in weights]
    import optimizers  # of the framework's folder

    if framework == "tensorflow":
        weights = [
            [w for network in group for w in network.trainable_variables] for group in groups
        ]
        if rmsprop:
            return [optimizers.RMSProp(w, rate, smoothing=0.99, epsilon=1e-8) for w in weights]
        return [optimizers.Adam(w, rate, beta1=0.5, beta2=0.999, epsilon=1e-8) for w in weights]
    if framework == "keras":
        if rmsprop:
            return [optimizers.RMSProp(rate, rho=0.99, epsilon=1e-8) for _ in groups]
        return [optimizers.Adam(rate, beta_1=0.5, beta_2=0.999, epsilon=1e-8) for _ in groups]
    import chainer

    targets = [group[0] if len(group) == 1 else chainer.ChainList(*group) for group in groups]
    if rmsprop:
        return [chainer.optimizers.RMSprop(rate, alpha=0.99, eps=1e-8).setup(t) for t in targets]
    return [optimizers.Adam(rate, beta1=0.5, beta2=0.999, eps=1e-8).setup(t) for t in targets]


def make_inputs(script, model, shape, batch_size):
    """What `train_step` is given after networks and optimisers, as NumPy arrays."""
    import numpy as np

    random = np.random.default_rng(0)
    height, width, channels = shape
    image = (channels, height, width) if script.bridge.CHANNELS_FIRST else shape
    batches = (script.CRITIC_UPDATES,) if model == "wgan" else ()
    images = random.random((*batches, batch_size, *image)).astype(np.float32)
    labels = random.integers(10, size=batch_size)
    if model == "pix2pix":
        return images.copy(), images
    if model in ("ae", "convae"):
        return (images,)
    latent = script.Config().latent_dim
    if model == "vae":
        return images, random.normal(size=(batch_size, latent)).astype(np.float32)
    count = script.CRITIC_UPDATES + 1 if model == "wgan" else 2
    noise = random.uniform(-1, 1, (count, batch_size, latent)).astype(np.float32)
    return (images, labels, noise) if model == "cgan" else (images, noise)


def make_step(framework, script, model, shape, batch_size):
    """A function without arguments that takes one training step, and the networks' arrays."""
    script.bridge.set_seed(0)
    script.bridge.find_device("cpu")
    networks = make_networks(script, model, shape)
    arrays = [script.bridge.get_arrays(network) for network in networks]
    optimizers = make_optimizers(framework, script, model, networks)
    inputs = make_inputs(script, model, shape, batch_size)
    if framework == "keras":
        join = script.join if model in AUTOENCODERS else script.players
        made = join(*networks, *optimizers)
        players = made if isinstance(made, tuple) else (made,)
        return lambda: script.train_step(*players, *inputs), arrays
    if framework == "pytorch":
        import torch

        inputs = [torch.from_numpy(array) for array in inputs]
    elif framework == "tensorflow":
        import tensorflow as tf

        inputs = [tf.constant(array) for array in inputs]
    return lambda: script.train_step(*networks, *optimizers, *inputs), arrays


def pixels(model, name, height, width):
    """How often a layer's kernel is applied to an image.

    A convolution's once per output pixel, a transposed one's once per input pixel.
    """
    if name.startswith("dense") or name in ("mean", "logvar"):
        return 1
    number = int(name[-1])
    if model == "convae":
        halvings = number - 1 if name.startswith("conv") else 3 - number
    elif name.startswith("conv"):
        halvings = number
    else:
        halvings = (5 if model == "pix2pix" else 4) - (number - 1)
    return (height >> halvings) * (width >> halvings)


def arithmetic(model, arrays, shape, batch_size):
    """Floating-point operations of a training step, two per multiply-add.

    A backward pass costs two forward ones, for the weights and for the input; first layers need no
    input's gradient. An autoencoder's networks pass once each way. Of a GAN, G passes forward twice
    (for D's step and its own) and backward once; D forward three times (real, fake, G's step),
    backward twice, and in G's step through to its input; a WGAN does the critic's part five times.
    Norms, activations and updates are left out.
    """
    height, width, _ = shape
    first, second = (
        [
            array.size * pixels(model, name.partition(".")[0], height, width)
            for name, array in network.items()
            if name.endswith("weight") and array.ndim > 1
        ]
        for network in arrays
    )
    if model in AUTOENCODERS:
        passes = 3 * sum(first) - first[0] + 3 * sum(second)
    else:
        updates = 5 if model == "wgan" else 1
        passes = sum(first) * (updates + 1 + 2) - first[0]
        passes += sum(second) * (updates * (2 + 2 * 2) + 2) - updates * 2 * second[0]
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
    batch_size = options.batch_size or script.Config().batch_size
    step, arrays = make_step(options.child, script, options.model, shape, batch_size)
    work = arithmetic(options.model, arrays, shape, batch_size)
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
    images = batch_size * (script.CRITIC_UPDATES if options.model == "wgan" else 1)
    print(json.dumps({"rounds": rounds, "memory": memory, "images": images}))


# In the parent: all frameworks.


def measure(framework, options, **more):
    """Run the child for one framework."""
    settings = {**vars(options), **more}
    command = [sys.executable, __file__, options.model, "--child", framework]
    for name in ("steps", "rounds", "batch_size", "image_size"):
        if settings[name] is not None:
            command += ["--" + name.replace("_", "-"), str(settings[name])]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{framework} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def whole(framework, options):
    """Images a second of the whole script, from its metrics.csv, without the first row."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        steps = 50  # a row of metrics.csv for each ten
        command = [sys.executable, str(ROOT / framework / f"{options.model}.py"), "--out", str(out)]
        command += ["--image-size", str(options.image_size), "--device", "cpu"]
        command += ["--batch-size", str(options.batch_size)] if options.batch_size else []
        command += ["--steps", str(steps), "--log-every", "10"]
        command += ["--sample-every", str(steps), "--checkpoint-every", str(steps)]
        subprocess.run(command, check=True, capture_output=True)
        with open(out / "metrics.csv", newline="") as file:
            rates = [float(row["images_per_second"]) for row in csv.DictReader(file)]
        return statistics.median(rates[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default="dcgan", help="default: dcgan")
    parser.add_argument(
        "--frameworks", default=",".join(PACKAGES), metavar="A,B", help="default: all installed"
    )
    parser.add_argument("--steps", type=int, default=6, help="steps in a round (default: 6)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--batch-size", type=int, help="default: the model's own")
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
        cells = [framework, f"{found['images'] / seconds:.0f}", f"{1000 * seconds:.3g}"]
        cells += [f"{share:.2f}", f"{share / reference:.2f}" if reference else ""]
        cells += [f"{found['memory']:.0f}"]
        if options.whole:
            ratios = []
            for _ in range(2):
                rate = whole(framework, options)
                again = measure(framework, options, rounds=2, steps=20)
                bare = statistics.median(row["seconds"] for row in again["rounds"])
                ratios.append(rate * bare / again["images"])
            cells.append(f"{statistics.mean(ratios):.2f}")
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
