"""Prints the pages of memory that the system hands out in a step of ConvAE: the least of six steps.

Run as `python tests/probes/pages_probe.py FRAMEWORK`.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tools.library.scripts import load_script  # noqa: E402
from workshop.throughput import First, first_step  # noqa: E402


def count_pages(first: First) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    first.step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


if __name__ == "__main__":
    flags = ["--image-size", "32", "--batch-size", "64", "--device", "cpu"]
    first = first_step(load_script(sys.argv[1], "convae"), flags)
    print(min(count_pages(first) for _ in range(6)))
