"""Figures that say how a run goes: losses as a table, diversity of the samples."""

from __future__ import annotations

import csv
import errno
import io
import os
from pathlib import Path

import numpy as np

from common.files import disk_errors, write_text

COLLAPSED = 0.1  # diversity under which a generator draws one picture


def spread(images: np.ndarray) -> float:
    """Standard deviation across images (N, H, W, C), averaged over pixels, in grey levels."""
    return float(images.astype(np.float32).std(axis=0).mean())


def diversity(samples: np.ndarray, real: np.ndarray) -> float:
    """How unlike each other samples are: their spread over the data's. 1 is the data's own.

    Args:
        samples: `uint8`, shape (N, H, W, C), N at least 2.
        real: `uint8`, as many real images.
    """
    return spread(samples) / max(spread(real), 1e-6)


class Table:
    """`metrics.csv`: a header, then a row per logged step, each on the disk at once.

    Args:
        path: the file; the first row creates it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: dict[str, float | int | None]) -> None:
        """Add a row; a value of None leaves its cell empty.

        Raises:
            UserError: the file cannot be written; it is as it was before.
        """
        line = self._line([_figure(value) for value in row.values()])
        if not self.path.exists():
            write_text(self.path, self._line(list(row)) + line)
            return
        with disk_errors(self.path), open(self.path, "r+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                if file.write(line.encode()) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                file.truncate(end)
                raise

    def read(self) -> dict[str, list[float]]:
        """Every column as numbers, empty cells as NaN; no columns before the first row."""
        if not self.path.exists():
            return {}
        with open(self.path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        return {
            name: [float(row[name] or "nan") for row in rows] for name in reader.fieldnames or ()
        }

    def cut(self, step: int) -> None:
        """Drop the rows after `step`, which a run that goes on will write again.

        Raises:
            UserError: the file cannot be written.
        """
        if not self.path.exists():
            return
        with open(self.path, newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file))
        kept = [row for row in rows if int(row[0]) <= step]
        write_text(self.path, "".join(map(self._line, [header, *kept])))

    @staticmethod
    def _line(cells: list[str]) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        return text.getvalue()


def _figure(value: float | int | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.6g}"
