"""The log of `train`: a row for each step in a CSV file, and its curve."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

from ..character_model.training import Progress
from ..errors import DataError
from ..files import write_atomically
from ..operation_errors import short
from ..optional_packages import needed

COLUMNS = ("step", "loss", "bits_per_character", "validation_loss", "validation_bits_per_character", "seconds")


class Records:
    """The steps of a run, in order, written to ``log`` as they come; a resumed run goes on in the same file.

    Losses are in nats per character.
    """

    def __init__(self, log: Path | None, resumed_at: int) -> None:
        self.log, self.before = log, 0.0
        self.rows: list[dict[str, Any]] = []
        if log is not None and resumed_at and log.exists():
            self.rows = [row for row in read(log) if (row["step"] or 0) <= resumed_at]
            self.before = (self.rows[-1]["seconds"] or 0.0) if self.rows else 0.0
        self._written = 0

    def add(self, done: Progress, validation: float | None, seconds: float) -> None:
        """One finished step, and what it scored on the text kept aside, if it was judged."""
        values = (done.step, done.loss, done.bits, validation, None if validation is None else validation / math.log(2))
        self.rows.append(dict(zip(COLUMNS, (*values, self.before + seconds), strict=True)))

    def write(self) -> None:
        """Bring the file up to date."""
        if self.log is None or self._written == len(self.rows):
            return
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(["" if v is None else _number(v) for v in row.values()] for row in self.rows)
        write_atomically(self.log, text.getvalue().encode())
        self._written = len(self.rows)

    def plot(self, path: Path) -> None:
        """The curve: what was trained on, smoothed and not, and what was kept aside, in bits per character."""
        with needed("a training curve", "plot"):
            from matplotlib.figure import Figure

        from ..viz.plotting import COLOURS, MARKERS, encoded, settings

        kind = check_ending(path)
        with settings():
            drawing = Figure(figsize=(7, 4), layout="constrained")
            axes = drawing.subplots()
            steps = [row["step"] for row in self.rows]
            bits: list[Any] = [row["bits_per_character"] for row in self.rows]
            axes.plot(steps, bits, color=COLOURS[5], lw=0.6, label="training, each step")
            axes.plot(steps, _smoothed(bits), color=COLOURS[0], label="training, smoothed")
            judged = [row for row in self.rows if row["validation_bits_per_character"] is not None]
            if judged:
                axes.plot(
                    [row["step"] for row in judged],
                    [row["validation_bits_per_character"] for row in judged],
                    color=COLOURS[1],
                    marker=MARKERS[0],
                    label="validation",
                )
            axes.set(xlabel="step", ylabel="bits per character")
            axes.legend()
            write_atomically(path, encoded(drawing, kind))


def check_ending(path: Path) -> str:
    """The format that a curve's name asks for."""
    kind = path.suffix[1:]
    if kind not in ("svg", "png", "pdf"):
        raise DataError(f"{path}: a curve is drawn as .svg, .png or .pdf")
    return kind


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a log; `DataError` if it is no log of ours."""
    try:
        table = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        if tuple(table.fieldnames or ()) != COLUMNS:
            raise DataError(f"{path} is no log of a training; choose another --log")
        return [{key: float(row[key]) if row[key] else None for key in COLUMNS} for row in table]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no log of a training: {short(str(error), 80)}") from None


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"


def _smoothed(values: list[Any]) -> list[float]:
    mean, smooth = float(values[0]), []
    for value in values:
        mean = 0.95 * mean + 0.05 * value
        smooth.append(mean)
    return smooth
