"""TensorBoard's event files, written without a queue, whose thread would hide a full disk."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from common.files import disk_errors


class Board:
    """Figures and pictures for TensorBoard, in a file of its own.

    Args:
        folder: the folder of the file; it is created if missing.
        step: the last completed step; TensorBoard then drops later steps of older files.

    Raises:
        UserError: the folder cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        with _without_torch():
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto import event_pb2, summary_pb2
        self._folder = folder
        self._events: Any = event_pb2
        self._summaries: Any = summary_pb2
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # The file's name has the time in seconds, so the step makes it unique.
            self._writer = EventsWriter(str(folder / "events"), f".{step}")
            if step:
                start = self._events.SessionLog(status=self._events.SessionLog.START)
                self._write(step + 1, session_log=start)

    def add_scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars by name.

        Raises:
            UserError: the file cannot be written.
        """
        rows = [{"tag": name, "simple_value": value} for name, value in values.items()]
        self._write(step, summary=self._summaries.Summary(value=rows))

    def add_picture(self, name: str, path: Path, step: int) -> None:
        """Write the picture of a PNG file without decoding it.

        Raises:
            UserError: the file cannot be written.
        """
        from PIL import Image

        with Image.open(path) as picture:  # reads the header only
            (width, height), channels = picture.size, len(picture.getbands())
        image = self._summaries.Summary.Image(
            height=height,
            width=width,
            colorspace=channels,
            encoded_image_string=path.read_bytes(),
        )
        self._write(step, summary=self._summaries.Summary(value=[{"tag": name, "image": image}]))

    def close(self) -> None:
        """Close the file; every event has been written."""
        with disk_errors(self._folder):
            self._writer.close()

    def _write(self, step: int, **what: Any) -> None:
        event = self._events.Event(wall_time=time.time(), step=step, **what)
        with disk_errors(self._folder):
            self._writer.write_event(event)
            self._writer.flush()


@contextlib.contextmanager
def _without_torch() -> Iterator[None]:
    """Hide torch from tensorboardX, which would import it only to recognise its tensors.

    Beside another framework that import takes seconds, and after TensorFlow's it can crash.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]
