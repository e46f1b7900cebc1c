"""A script's run: its flags, folder, loop and checkpoints."""

from common.run.flags import Settings
from common.run.launch import launch
from common.run.run import Run

__all__ = ["Run", "Settings", "launch"]
