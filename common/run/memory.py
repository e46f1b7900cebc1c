"""Watches memory, so that a run that uses it up ends with a message before the system kills it.

Linux promises programs more memory than there is, and kills one without a message when it is used
up. Other systems are not watched.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

INTERVAL = 0.05  # seconds between two checks, in which a run can take hundreds of megabytes
SHARE, LEAST = 0.025, 256 << 20  # required free memory: fraction of the total, and bytes
OWN = 0.25  # of the total; a process with less is not the cause

MEMINFO = Path("/proc/meminfo")
GROUPS = Path("/sys/fs/cgroup")  # limits of a container or a service: cgroups, version 2


def read() -> tuple[int, int] | None:
    """Total and available memory of this process's group, in bytes.

    Swap is included, and the system's file cache counts as available. None if unknown.
    """
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        total, left = (
            (kilobytes[memory] + kilobytes[swap]) * 1024
            for memory, swap in (("MemTotal", "SwapTotal"), ("MemAvailable", "SwapFree"))
        )
    except (OSError, ValueError, KeyError, IndexError):
        return None
    for folder in (GROUPS, *_groups()):
        with contextlib.suppress(OSError, ValueError, KeyError):
            limit = int((folder / "memory.max").read_text())  # "max" means no limit
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            files = int(stat["inactive_file"]) + int(stat["active_file"])
            used = int((folder / "memory.current").read_text()) - files
            total, left = min(total, limit), min(left, limit - used)
    return total, left


def _groups() -> list[Path]:
    """The folders of this process's cgroup and of its parents."""
    try:
        name = Path("/proc/self/cgroup").read_text().split("0::/", 1)[1].splitlines()[0]
    except (OSError, IndexError):
        return []
    group = GROUPS / name
    return [folder for folder in (group, *group.parents) if GROUPS in folder.parents]


def describe() -> str:
    """Total and available memory in words; empty if unknown."""
    found = read()
    return f"{found[0] / 1e9:.1f} GB of memory, {max(found[1], 0) / 1e9:.1f} left" if found else ""


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """End the process with a message and exit status 2 if memory runs out in the block."""
    if read() is None:
        yield
        return
    done = threading.Event()
    threading.Thread(target=_watch, args=(done,), daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _watch(done: threading.Event) -> None:
    while not done.wait(INTERVAL):
        found = read()
        if found is None:
            return
        total, left = found
        if left > max(SHARE * total, LEAST):
            continue
        own = _resident()
        if own > OWN * total:
            print(
                f"\nerror: not enough memory: this run has taken {own / 1e9:.1f} GB, of "
                f"{describe()}; smaller images, batches or networks need less",
                file=sys.stderr,
                flush=True,
            )
            os._exit(2)  # at once: the current step may take the rest


def _resident() -> int:
    """The resident memory of this process, in bytes."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
