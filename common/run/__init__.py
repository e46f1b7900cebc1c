"""A script's run: its flags, its folder, its loop, and what it keeps."""

from common.run.flags import Settings
from common.run.launch import launch
from common.run.run import Run

__all__ = ["Run", "Settings", "launch"]
