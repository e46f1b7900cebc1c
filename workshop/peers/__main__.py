"""How fast Quartet's scripts are against what a user might train instead.

`python -m workshop.peers` takes the training steps of well-known examples, rebuilt by us on the
networks of Quartet's scripts. Each is timed in a process of its own, in turns with the script's
bare step, on the same images: some steps of ours, some of theirs, with a matrix product before,
between and after, which shows how fast the machine is at that moment.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import statistics
import sys
from dataclasses import dataclass
from typing import Any

from common.errors import UserError
from common.frameworks import PACKAGES
from common.run import launch
from common.run.flags import Parser
from tools.library.scripts import choose_frameworks, load_script
from workshop.throughput import (
    ROUND,
    ask_child,
    backend_of,
    choose_steps,
    first_step,
    product_of,
    speed_ratio,
    take_turns,
    time_steps,
    warn_of_older,
)


@dataclass(frozen=True)
class Known:
    """A peer that can be measured.

    Attributes:
        model: whose networks it trains.
        framework: the folder of Quartet's script, and the module here with its step.
        name: on the command line, and of the function in that module, before `_` and the model.
        title: whose step it is.
        differs: in what, besides the framework's own layers.
    """

    model: str
    framework: str
    name: str
    title: str
    differs: str


PEERS = (
    Known(
        "dcgan",
        "pytorch",
        "official",
        "pytorch/examples, dcgan",
        "D goes backward twice; Adam not fused; waits for five figures a step",
    ),
    Known(
        "dcgan",
        "pytorch",
        "pytorch_gan",
        "PyTorch-GAN, dcgan",
        "D has gradients in G's pass; Adam not fused",
    ),
    Known(
        "dcgan",
        "tensorflow",
        "official",
        "TensorFlow's tutorial, DCGAN",
        "D judges fakes once; Keras' layers and Adam",
    ),
    Known(
        "dcgan",
        "keras",
        "official",
        "Keras' examples, DCGAN",
        "`fit`; G draws twice a step; real and fake images pass D as one batch; Keras' own Adam",
    ),
    Known(
        "dcgan",
        "chainer",
        "official",
        "Chainer's examples, dcgan",
        "D judges fakes once; Chainer's own convolutions; weight decay; `StandardUpdater`",
    ),
    Known(
        "vae",
        "pytorch",
        "official",
        "pytorch/examples, vae",
        "sigmoid, then cross-entropy; Adam not fused; waits for the loss",
    ),
    Known(
        "vae",
        "tensorflow",
        "official",
        "TensorFlow's tutorial, CVAE",
        "KL estimated from the codes drawn; Keras' layers and Adam",
    ),
    Known(
        "vae",
        "keras",
        "official",
        "Keras' examples, VAE",
        "`fit`; sigmoid, then cross-entropy; Keras' Adam",
    ),
    Known(
        "vae",
        "chainer",
        "official",
        "Chainer's examples, vae",
        "`chainer.distributions`; `StandardUpdater`",
    ),
)
MODELS = tuple(dict.fromkeys(known.model for known in PEERS))
HEADS = ["model", "framework", "peer", "ours, ms a step", "theirs, ms a step"]
HEADS += ["our speed / theirs", "what differs in theirs"]
KERAS = {"KERAS_BACKEND": "tensorflow"}


# In the child: one peer, or, in the tests, all of a framework.


def measure_here(known: Known, options: argparse.Namespace) -> dict[str, Any]:
    """Measure a peer and Quartet's script in this process."""
    module = importlib.import_module(f"workshop.peers.{known.framework}")
    script = load_script(known.framework, known.model)
    first = first_step(script, [*options.others, "--device", "cpu"])
    run = first.run
    place = [run.device] if hasattr(run, "device") else []  # where a script puts its tensors
    images = script.preprocess(first.batch.images, *place)
    peer = getattr(module, f"{known.name}_{known.model}")(run.config, run.image_shape, images)
    weights = [run.bridge.get_arrays(network) for network in run.networks.values()]
    before = peer.arrays()
    runs = {"ours": functools.partial(time_steps, first.step), "theirs": peer.run}
    steps = {name: options.steps or choose_steps(run) for name, run in runs.items()}
    if options.steps:  # else they have run
        for run in runs.values():
            run(1)
    found = take_turns(
        {name: (run, steps[name]) for name, run in runs.items()},
        options.rounds,
        product_of(backend_of(known.framework), "cpu"),
        "cpu",
    )
    after = peer.arrays()
    return {
        "rounds": found,
        "weights": {
            "ours": sum(array.size for arrays in weights for array in arrays.values()),
            "theirs": sum(array.size for array in after),
        },
        "trained": [bool((old != new).any()) for old, new in zip(before, after, strict=True)],
        "losses": {name: float(value) for name, value in peer.losses.items()},
    }


# In the parent: all of them.


def measure(known: Known, options: argparse.Namespace) -> dict[str, Any]:
    """Run the child for one peer.

    Raises:
        UserError: it failed.
    """
    arguments = ["--child", known.framework, "--models", known.model, "--peers", known.name]
    arguments += ["--rounds", str(options.rounds)]
    arguments += ["--steps", str(options.steps)] if options.steps else []
    # Keras' examples take gradients by TensorFlow's tape, so they run on that backend alone.
    return ask_child("workshop.peers", known.framework, [*arguments, *options.others], KERAS)[0]


def row_of(known: Known, found: dict[str, Any]) -> list[str]:
    """The cells of a peer's row.

    Raises:
        UserError: what was timed is not what it should be.
    """
    weights = found["weights"]
    if weights["ours"] != weights["theirs"] or not all(found["trained"]):
        raise UserError(f"{known.title}: rebuilt wrongly: {weights}, trained: {found['trained']}")
    rounds = found["rounds"]
    milliseconds = [
        1000 * statistics.median(one["seconds"] for one in rounds[name])
        for name in ("ours", "theirs")
    ]
    cells = [known.model, known.framework, known.title]
    cells += [f"{value:.3g}" for value in milliseconds]
    return [*cells, f"{speed_ratio(rounds['ours'], rounds['theirs']):.2f}", known.differs]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked; `chosen` are the peers to measure.

    Raises:
        UserError: an unknown model, framework or peer, or none that can be measured.
    """
    parser = Parser(
        prog="python -m workshop.peers",
        description="Measure Quartet's scripts against training steps in the way of well-known "
        "examples, rebuilt on the same networks. Each is timed in a process of its own, in turns "
        "with the script's bare step, on the same images; nothing is downloaded. A ratio over 1 "
        "says that ours is faster.",
        epilog="Peers: "
        + "; ".join(f"{known.name} ({known.model}): {known.title}" for known in PEERS)
        + ". Every other flag goes to the scripts: --image-size, --batch-size, …",
        allow_abbrev=False,
    )
    parser.add_argument("--models", default=",".join(MODELS), metavar="A,B", help="default: all")
    names = tuple(dict.fromkeys(known.name for known in PEERS))
    parser.add_argument("--peers", default=",".join(names), metavar="A,B", help="default: all")
    parser.add_argument(
        "--frameworks", default=",".join(PACKAGES), metavar="A,B", help="default: all installed"
    )
    parser.add_argument(
        "--steps", type=int, help=f"steps in a round (default: what takes {ROUND} seconds)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (default: 5)")
    parser.add_argument(
        "--quality", action="store_true", help="how well they draw instead; --quality --help"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options, options.others = parser.parse_known_args(arguments)
    if "--image-size" not in options.others:
        options.others += ["--image-size", "32"]
    for name, known, given in (
        ("model", MODELS, options.models),
        ("peer", names, options.peers),
    ):
        for each in given.split(","):
            if each not in known:
                raise UserError(f"unknown {name} {each!r}; known: {', '.join(known)}")
    if options.rounds < (0 if options.child else 1) or (options.steps or 1) < 1:
        raise UserError("--rounds and --steps: give 1 or more")
    frameworks = [options.child] if options.child else choose_frameworks(options.frameworks)
    options.chosen = [
        known
        for known in PEERS
        if known.model in options.models.split(",")
        and known.name in options.peers.split(",")
        and known.framework in frameworks
    ]
    if not options.chosen:
        raise UserError("there is no such peer for these models and frameworks; --help lists them")
    return options


def main() -> None:
    """Measure the peers that the command line names."""
    if "--quality" in sys.argv[1:]:
        from workshop.peers import page, quality

        chosen = quality.parse()
        page.write() if chosen.page else quality.main(chosen)
        return
    options = parse()
    if options.child:
        print(json.dumps([measure_here(known, options) for known in options.chosen]))
        return
    warn_of_older()
    print("| " + " | ".join(HEADS) + " |\n|" + " --- |" * len(HEADS))
    for number, known in enumerate(options.chosen, start=1):
        print(f"{number}/{len(options.chosen)}: {known.title} ...", file=sys.stderr)
        print("| " + " | ".join(row_of(known, measure(known, options))) + " |", flush=True)


if __name__ == "__main__":
    launch(main)
