"""How fast each framework trains a model, in units of what the machine can do at that moment.

`python -m workshop.throughput dcgan` runs each framework in a process of its own: rounds of a
script's bare step on the same images, each between two single-precision matrix products, which
gauge the machine: NumPy's on a CPU, with `--device gpu` the framework's own. `--whole` also runs
the script's loop, with metrics, pictures and checkpoints, in turns with its bare loop, which reads
the data, and with its bare step.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.data.batches import Batch
from common.errors import UserError
from common.frameworks import PACKAGES, find_version
from common.run import Run, launch
from tools.library.scripts import ROOT, check_model, choose_frameworks, load_script

GAUGE = {"cpu": 2048, "gpu": 8192}  # side of the matrices
ROUND = 0.5  # seconds that a round of steps takes, at least
LEAST = 3  # steps in a round
NEVER = 10**9  # steps
REST = 0.2  # seconds after a product: NumPy's threads still look for work, and hinder others

# By these variables libraries compute as an older processor would.
OLDER = ("OPENBLAS_CORETYPE", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
OLDER += ("MKL_ENABLE_INSTRUCTIONS", "NPY_DISABLE_CPU_FEATURES")

Step = Callable[[], dict[str, Any]]

# In the child: one framework.


@dataclass(frozen=True)
class First:
    """A script's first training step, ready to be taken, again and again.

    Attributes:
        step: takes it, on the same images each time.
        run: of the script.
        batch: that the step learns from.
    """

    step: Step
    run: Run
    batch: Batch


def first_step(script: Any, arguments: list[str]) -> First:
    """A script's training step as its `main` would take it; no file is written."""
    with tempfile.TemporaryDirectory() as folder:
        run = script.start([*arguments, "--out", str(Path(folder) / "run")])
    batch = run.next_batch()
    return First(lambda: script.learn(run, batch), run, batch)


def count_arithmetic(step: Step) -> int:
    """Floating-point operations of PyTorch's step: its matrix products and convolutions."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counter(TorchDispatchMode):
        """`FlopCounterMode` fails where a gradient is taken within a step."""

        total = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            out = func(*args, **(kwargs or {}))
            if count := flop_registry.get(func.overloadpacket):
                self.total += count(*args, **(kwargs or {}), out_val=out)
            return out

    with Counter() as counter:
        step()
    return counter.total


def backend_of(framework: str) -> str:
    """The library that computes: the framework, or what Keras runs on."""
    if framework != "keras":
        return framework
    import keras

    return {"torch": "pytorch"}.get(keras.backend.backend(), keras.backend.backend())


def product_of(backend: str, device: str) -> Callable[[], object]:
    """A matrix product that is done when it returns."""
    import numpy as np

    a = np.ones((GAUGE[device], GAUGE[device]), np.float32)
    if device == "cpu":
        product = np.empty_like(a)
        return lambda: np.matmul(a, a, out=product)
    if backend == "pytorch":
        import torch

        x = torch.from_numpy(a).to(torch.accelerator.current_accelerator())
        return lambda: float((x @ x)[0, 0])
    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.constant(a)
        return lambda: float(tf.matmul(x, x)[0, 0])
    if backend == "jax":
        import jax

        x = jax.numpy.asarray(a)
        return lambda: (x @ x).block_until_ready()
    import cupy  # type: ignore[import-not-found]

    x = cupy.asarray(a)
    return lambda: float((x @ x)[0, 0])


def gauge(product: Callable[[], object], device: str) -> float:
    """Operations a second of a single-precision matrix product, right now."""
    start = time.perf_counter()
    count = 0
    while time.perf_counter() - start < 0.5:
        product()
        count += 1
    return count * 2 * GAUGE[device] ** 3 / (time.perf_counter() - start)


def peak_memory(backend: str, device: str) -> float:
    """MiB that the process has held at most; on a GPU the framework's, there."""
    if device == "cpu":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if backend == "pytorch":
        import torch

        held = torch.accelerator.max_memory_allocated()
    elif backend == "tensorflow":
        import tensorflow as tf

        held = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    elif backend == "jax":
        import jax

        held = jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]
    else:
        import cupy  # type: ignore[import-not-found]

        held = cupy.get_default_memory_pool().total_bytes()
    return held / 2**20


def wait_for(losses: dict[str, Any]) -> None:
    """Come back when a step's work is done."""
    for value in losses.values():
        float(value)


def time_steps(step: Step, count: int) -> float:
    """The seconds that so many steps take, until the last one's work is done."""
    losses = {}
    start = time.perf_counter()
    for _ in range(count):
        losses = step()
    wait_for(losses)
    return time.perf_counter() - start


def choose_steps(run: Callable[[int], float]) -> int:
    """So many steps that a round of them takes its time, once everything is compiled."""
    run(3)  # compile, and settle
    return max(LEAST, math.ceil(ROUND / run(1)))


def take_turns(
    runs: dict[str, tuple[Callable[[int], float], int]],
    rounds: int,
    product: Callable[[], object],
    device: str,
) -> dict[str, list[dict[str, float]]]:
    """Time what runs so many steps, each in turn, and between all of them the matrix product.

    Args:
        runs: by name, a function that takes a number of steps and returns their seconds, and how
            many steps a round of it has.
        rounds: how often each has its turn.
        product: see `product_of`.
        device: of the product.

    Returns:
        By name and round: `seconds` a step, and `gauge`, the mean speed of the products around it.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    if rounds:
        gauge(product, device)
    for _ in range(rounds):
        before = gauge(product, device)
        for name, (run, steps) in runs.items():
            time.sleep(REST)
            seconds = run(steps) / steps
            after = gauge(product, device)
            found[name].append({"seconds": seconds, "gauge": (before + after) / 2})
            before = after
    return found


def measure_here(options: argparse.Namespace) -> dict[str, Any]:
    """Measure one framework in this process."""
    script = load_script(options.child, options.model)
    first = first_step(script, [*options.others, "--device", options.device])
    arithmetic = count_arithmetic(first.step) if options.child == "pytorch" else None
    run = functools.partial(time_steps, first.step)
    steps = options.steps or choose_steps(run)
    backend = backend_of(options.child)
    memory = peak_memory(backend, options.device)  # before the gauge takes its own
    product = product_of(backend, options.device)
    found = take_turns({"bare": (run, steps)}, options.rounds, product, options.device)
    images = first.run.images_per_step
    return {"rounds": found["bare"], "memory": memory, "images": images, "arithmetic": arithmetic}


def measure_whole(options: argparse.Namespace) -> dict[str, Any]:
    """Measure a whole script in this process, in turns with its bare loop and its bare step.

    In a round of the whole, what a run does for every step (batch, noise, the step, `metrics.csv`)
    is timed as it goes. A picture and a checkpoint come at the end of the round, are timed by
    themselves, and count as often as the script's settings have them: a hundredth of a picture a
    step where one is drawn every 100 steps. So some dozen steps say what takes hundreds to come
    about. In a round of the bare loop nothing of a step is written or read. The bare step learns
    from one batch. What a script does once, before its first step and after its last, is left out.
    """
    script: Any = load_script(options.child, options.model)
    product = product_of(backend_of(options.child), options.device)
    found: dict[str, Any] = {"bare": [], "loop": [], "whole": []}
    with tempfile.TemporaryDirectory() as folder:
        out = ["--out", str(Path(folder) / "run"), "--steps", str(NEVER)]
        run = script.start([*options.others, "--device", options.device, *out])
        config = run.config
        run.config = replace(config, sample_every=NEVER, checkpoint_every=NEVER)
        loop = run.batches()

        def train(steps: int) -> float:
            losses = {}
            start = time.perf_counter()
            for batch in itertools.islice(loop, steps):
                losses = script.learn(run, batch)
                run.log(losses)
            wait_for(losses)
            return time.perf_counter() - start

        def save() -> dict[str, float]:
            start = time.perf_counter()
            run.save_samples()
            between = time.perf_counter()
            run.save_checkpoint()
            return {"picture": between - start, "checkpoint": time.perf_counter() - between}

        first = run.next_batch()
        bare = functools.partial(time_steps, lambda: script.learn(run, first))
        plain = functools.partial(time_steps, lambda: script.learn(run, run.next_batch()))
        every = config.log_every
        train(options.steps or every)  # compile, and settle
        # So many that each round writes as many rows as its steps are due.
        steps = options.steps or every * math.ceil(choose_steps(bare) / every)
        turns = {"whole": train, "loop": plain, "bare": bare}
        after = gauge(product, options.device)
        for _ in range(options.rounds):
            for name, turn in turns.items():
                before = after
                time.sleep(REST)
                row = {"seconds": turn(steps) / steps}
                if name == "whole":
                    row |= {"every step": row["seconds"], **save()}
                    row["seconds"] += row["picture"] / config.sample_every
                    row["seconds"] += row["checkpoint"] / config.checkpoint_every
                after = gauge(product, options.device)
                found[name].append(row | {"gauge": (before + after) / 2})
        loop.close()
    return found


# In the parent: all frameworks.


def speed_ratio(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> float:
    """How many times as fast the first is as the second, by rounds that were beside each other.

    Each is set against the machine at its moment.
    """
    return statistics.median(
        their["seconds"] * their["gauge"] / (our["seconds"] * our["gauge"])
        for our, their in zip(ours, theirs, strict=True)
    )


def ask_child(
    module: str, framework: str, arguments: list[str], variables: dict[str, str] | None = None
) -> Any:
    """What a child process prints: JSON in its last line.

    Args:
        module: what it runs.
        framework: what it measures.
        arguments: its command line.
        variables: of its environment, besides those of this process.

    Raises:
        UserError: it failed; what it said is repeated.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.strip().rpartition("\n")[2]
    if done.returncode == 2 and last.startswith("error: "):
        raise UserError(f"{framework}: {last.removeprefix('error: ')}")
    if done.returncode:
        sys.stderr.write(done.stderr[-2000:])
        raise UserError(f"{framework} failed with exit status {done.returncode}; see above")
    return json.loads(done.stdout.splitlines()[-1])


def measure(framework: str, options: argparse.Namespace, *more: str) -> dict[str, Any]:
    """Run the child for one framework, with more flags.

    Raises:
        UserError: it failed.
    """
    arguments = [options.model, "--child", framework, "--device", options.device]
    arguments += ["--rounds", str(options.rounds), *more]
    arguments += ["--steps", str(options.steps)] if options.steps else []
    return ask_child("workshop.throughput", framework, [*arguments, *options.others])


def warn_of_older() -> None:
    """Say so if some library is told to compute as an older processor: others might not be."""
    if found := [f"{name}={os.environ[name]}" for name in OLDER if os.environ.get(name)]:
        print(
            f"note: {', '.join(found)} in the environment: what heeds that computes as an older "
            "processor, and ratios are not this machine's; unset it to measure the machine",
            file=sys.stderr,
        )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked.

    Raises:
        UserError: an unknown model or framework, or none that is installed.
    """
    parser = argparse.ArgumentParser(
        prog="python -m workshop.throughput",
        description="Measure how fast each framework trains a model.",
        epilog="Every other flag goes to the scripts: --image-size, --batch-size, …",
        allow_abbrev=False,
    )
    parser.add_argument("model", nargs="?", default="dcgan", help="default: dcgan")
    parser.add_argument(
        "--frameworks", default=",".join(PACKAGES), metavar="A,B", help="default: all installed"
    )
    parser.add_argument(
        "--steps", type=int, help=f"steps in a round (default: what takes {ROUND} seconds)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="default: cpu")
    parser.add_argument(
        "--whole",
        action="store_true",
        help="measure the whole script as well, in turns with its bare loop (batches and "
        "steps) and its bare step: with metrics.csv, and pictures and checkpoints as often as its "
        "settings have them (--sample-every, --checkpoint-every); without what it does once, at "
        "its start and end",
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options, options.others = parser.parse_known_args(arguments)
    if "--image-size" not in options.others:
        options.others += ["--image-size", "32"]
    check_model(options.model)
    options.frameworks = choose_frameworks(options.frameworks)
    return options


def main() -> None:
    """Measure the frameworks as the command line says."""
    options = parse()
    if options.child:
        print(json.dumps(measure_whole(options) if options.whole else measure_here(options)))
        return
    warn_of_older()
    heads = ["framework", "images/s", "ms/step", "share of gauge", "of PyTorch", "memory MiB"]
    heads += ["script / bare loop", "bare loop / bare step"] if options.whole else []
    arithmetic = None
    if find_version("pytorch") and "pytorch" not in options.frameworks:
        arithmetic = measure("pytorch", options, "--rounds", "0")["arithmetic"]
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    reference = None
    for framework in sorted(options.frameworks, key=lambda name: name != "pytorch"):
        print(f"measuring {framework} ...", file=sys.stderr)
        found = measure(framework, options)
        arithmetic = found["arithmetic"] or arithmetic
        seconds = statistics.median(row["seconds"] for row in found["rounds"])
        relative = statistics.median(row["seconds"] * row["gauge"] for row in found["rounds"])
        reference = reference or (relative if framework == "pytorch" else None)
        cells = [framework, f"{found['images'] / seconds:.0f}", f"{1000 * seconds:.3g}"]
        cells += [f"{arithmetic / relative:.2f}" if arithmetic else ""]
        cells += [f"{reference / relative:.2f}" if reference else "", f"{found['memory']:.0f}"]
        if options.whole:
            found = measure(framework, options, "--whole")
            for slower, faster in (("whole", "loop"), ("loop", "bare")):
                cells.append(f"{speed_ratio(found[slower], found[faster]):.2f}")
            once = {
                part: statistics.median(row[part] for row in found["whole"])
                for part in ("picture", "checkpoint")
            }
            said = ", ".join(f"a {part} takes {value:.2g} s" for part, value in once.items())
            print(f"{framework}: {said}", file=sys.stderr)
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    launch(main)
