"""Trains a model in PyTorch on a GPU; ends with an error if a step waits for what is at work there.

Run as `python tests/probes/waiting_probe.py MODEL ARGUMENT ...`. It prints how many steps were
watched.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from tools.library.scripts import load_script  # noqa: E402

FIRST, LAST = 3, 7  # earlier ones set things up, the last one's losses are read


def main() -> None:
    model, *arguments = sys.argv[1:]
    script: Any = load_script("pytorch", model)
    train_step, calls = script.train_step, []

    def watched(*inputs: Any) -> Any:
        calls.append(len(calls) + 1)
        # What is between two steps is watched as well: the batches' way to the GPU.
        if calls[-1] in (FIRST, LAST):
            torch.cuda.set_sync_debug_mode("error" if calls[-1] == FIRST else "default")
        return train_step(*inputs)

    script.train_step = watched
    sys.argv = [f"pytorch/{model}.py", *arguments, "--steps", str(LAST)]
    script.main()
    assert len(calls) == LAST
    print(LAST - FIRST)


if __name__ == "__main__":
    main()
