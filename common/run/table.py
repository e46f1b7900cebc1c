"""`metrics.csv`: the figures of a run, a row per logged step."""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Mapping
from pathlib import Path

from common.files import disk_errors, write_text


class Table:
    """`metrics.csv`: a header, then a row per logged step, each on the disk at once.

    Args:
        path: the file; the first row creates it.
        digits: significant ones of a number that is not whole.
    """

    def __init__(self, path: Path, digits: int = 6) -> None:
        self.path = path
        self._digits = digits

    def append(self, row: Mapping[str, float | int | None]) -> None:
        """Add a row; a value of None leaves its cell empty.

        Raises:
            UserError: the file cannot be written; it is as it was before.
        """
        line = _line([self._figure(value) for value in row.values()])
        if not self.path.exists():
            write_text(self.path, _line(list(row)) + line)
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
        write_text(self.path, "".join(map(_line, [header, *kept])))

    def _figure(self, value: float | int | None) -> str:
        if value is None:
            return ""
        return str(value) if isinstance(value, int) else repr(float(f"{value:.{self._digits}g}"))


def _line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
