"""`metrics.csv`: the figures of a run, one row per logged step."""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Mapping
from pathlib import Path

from common.errors import UserError
from common.files import disk_errors, write_text


class Table:
    """`metrics.csv`: a header, then one row per logged step, each written to disk at once.

    Args:
        path: the file; the first row creates it.
        digits: significant digits of floats.
    """

    def __init__(self, path: Path, digits: int = 6) -> None:
        self.path = path
        self._digits = digits

    def append(self, row: Mapping[str, float | int | None]) -> None:
        """Add a row; a value of None leaves its cell empty.

        Raises:
            UserError: the file cannot be written; it is unchanged.
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
        """All columns as numbers, empty cells as NaN; no columns before the first row.

        Raises:
            UserError: the file is not a table of numbers.
        """
        header, rows = self._cells()
        return {
            name: [float(row[place] or "nan") for row in rows] for place, name in enumerate(header)
        }

    def cut(self, step: int) -> None:
        """Drop the rows after `step`, which a resumed run will write again.

        Raises:
            UserError: the file is not a table of numbers, or cannot be written.
        """
        header, rows = self._cells()
        if header:
            kept = [row for row in rows if float(row[0]) <= step]
            write_text(self.path, "".join(map(_line, [header, *kept])))

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        """The header and the rows, as text; both empty if there is no file."""
        if not self.path.exists():
            return [], []
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                header, *rows = list(csv.reader(file)) or [[]]
            if header[:1] != ["step"] or len(set(header)) < len(header):
                raise ValueError("its first line does not name the columns, from step on")
            for line, row in enumerate(rows, start=2):
                if len(row) != len(header):
                    raise ValueError(f"line {line} has {len(row)} cells, not {len(header)}")
                if not row[0].isdecimal():
                    raise ValueError(f"line {line} begins with no step")
                for cell in row:
                    float(cell or "nan")
        except (ValueError, csv.Error) as error:
            raise UserError(
                f"{self.path} is damaged ({error}); put the original back or move the file away"
            ) from error
        return header, rows

    def _figure(self, value: float | int | None) -> str:
        if value is None:
            return ""
        return str(value) if isinstance(value, int) else repr(float(f"{value:.{self._digits}g}"))


def _line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
