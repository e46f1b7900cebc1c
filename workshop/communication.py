"""What it costs that processes train one model together: their messages, predicted and measured.

`torchrun --nproc-per-node 2 -m workshop.communication dcgan` takes PyTorch's training step of a
model in as many processes as it is started in. It counts the messages of a step, predicts their
time from how long a small and a large one take, and sets beside it what a step takes longer than
one without messages, with as many processes at work.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from common.errors import UserError
from common.processes import find_processes
from common.run import launch
from tools.library.scripts import check_model, load_script
from workshop.throughput import Step, first_step, wait_for

LARGE = 1 << 24  # bytes
TRIES = 9


def time_of(action: Callable[[], object], count: int) -> float:
    """Seconds that an action takes: of several tries the median, each the mean of `count`."""
    found = []
    for _ in range(TRIES):
        start = time.perf_counter()
        for _ in range(count):
            action()
        found.append((time.perf_counter() - start) / count)
    return statistics.median(found)


def measure_link() -> tuple[float, float]:
    """Seconds that a message takes whatever its size, and bytes a second of a large one."""
    import torch
    import torch.distributed as dist

    small, large = torch.zeros(64), torch.zeros(LARGE // 4)
    latency = time_of(lambda: dist.all_reduce(small), 50)
    return latency, LARGE / (time_of(lambda: dist.all_reduce(large), 2) - latency)


def messages_of(step: Step) -> list[int]:
    """The bytes of each message of a step."""
    import torch.distributed as dist

    sizes, all_reduce = [], dist.all_reduce

    def note(tensor, *arguments, **named):
        sizes.append(tensor.numel() * tensor.element_size())
        return all_reduce(tensor, *arguments, **named)

    dist.all_reduce = note
    wait_for(step())
    dist.all_reduce = all_reduce
    return sizes


def time_steps(step: Step, rounds: int) -> tuple[float, float]:
    """Seconds of a step with messages and without, in turns."""
    import torch.distributed as dist

    all_reduce, found, losses = dist.all_reduce, ([], []), {}
    for index in range(2 * rounds):
        dist.barrier()
        dist.all_reduce = (lambda *_, **__: None) if index % 2 else all_reduce
        start = time.perf_counter()
        for _ in range(3):
            losses = step()
        wait_for(losses)
        found[index % 2].append((time.perf_counter() - start) / 3)
    dist.all_reduce = all_reduce
    return statistics.median(found[0]), statistics.median(found[1])


def main() -> None:
    """Measure as the command line says; the first process prints."""
    parser = argparse.ArgumentParser(
        prog="torchrun --nproc-per-node 2 -m workshop.communication",
        description="Measure what it costs that processes train a PyTorch model together.",
        epilog="Every other flag goes to the script: --image-size, --batch-size, …",
        allow_abbrev=False,
    )
    parser.add_argument("model", nargs="?", default="dcgan", help="default: dcgan")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    options, others = parser.parse_known_args()
    check_model(options.model)
    processes = find_processes("pytorch")
    if processes.count == 1:
        raise UserError(
            "this is a process by itself; start several by "
            "torchrun --nproc-per-node 2 -m workshop.communication"
        )
    first = first_step(load_script("pytorch", options.model), others)
    step = first.step
    for _ in range(3):
        wait_for(step())
    sizes = messages_of(step)
    latency, bandwidth = measure_link()
    with_messages, without = time_steps(step, options.rounds)
    if processes.index:
        return
    predicted = len(sizes) * latency + sum(sizes) / bandwidth
    rows = {
        "processes": f"{processes.count}",
        "images a step, of all": f"{first.run.images_per_step}",
        "messages a step": f"{len(sizes)}",
        "bytes a step": f"{sum(sizes):,}",
        "a small message": f"{1e3 * latency:.3f} ms",
        "a large one": f"{bandwidth / 1e6:.0f} MB/s",
        "messages, predicted": f"{1e3 * predicted:.1f} ms",
        "messages, measured": f"{1e3 * (with_messages - without):.1f} ms",
        "a step": f"{1e3 * with_messages:.1f} ms",
    }
    for name, value in rows.items():
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    launch(main)
