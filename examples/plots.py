"""The figures of the examples that are not graphs: tables of scores, images, activations, curves."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from common import announce

from tinygrad_rnn.files import write_atomically

INK, TARGET = "#1a1a1a", "#0a6b0a"
#: name, colour, and how many digits its numbers are written with
LAYERS = (
    ("input,\none-hot", "#fbd5c8", 0),
    ("hidden\nlayer", "#dcecc9", 1),
    ("output\nscores", "#cfe3f5", 1),
    ("softmax", "#e4d7f2", 2),
)


@contextmanager
def figure(path: Path, width: float, height: float, letters: str = "none") -> Iterator[Any]:
    """A figure to draw on, written whole when done; its format is the name's ending.

    In an SVG its texts stay texts, to be found and translated; with ``letters="path"`` they are drawn as outlines, for
    what needs its very typeface.
    """
    import matplotlib
    from matplotlib.figure import Figure

    settings = {"svg.hashsalt": path.name, "text.color": INK, "font.size": 9, "svg.fonttype": letters}
    with matplotlib.rc_context(settings):
        drawing = Figure(figsize=(width, height), layout="constrained")
        yield drawing
        data, kind = io.BytesIO(), path.suffix[1:]
        drawing.savefig(data, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    write_atomically(path, data.getvalue())
    announce(path)


def score_table(path: Path, title: str, vocabulary: str, text: str, above: str, columns: Sequence[Any]) -> None:
    """The lecture's slide: a column per step, from below one-hot input, hidden layer, scores, and the softmax if given.

    ``above`` is what stands over each column, with its number in green: the target, or after a softmax what was drawn,
    which the next column reads.
    """
    from matplotlib.patches import Rectangle

    sampled, top = len(columns[0]) == 4, 6 * len(columns[0]) - 3.2
    with figure(path, 7.5, 7.0 if sampled else 5.5) as drawing:
        axes = drawing.subplots()
        for t, layers in enumerate(columns):
            for level, (values, (name, color, digits)) in enumerate(zip(layers, LAYERS)):
                middle = 6 * level
                for i, value in enumerate(values):
                    y = middle + (len(values) - 1) / 2 - i
                    green = level == len(layers) - 1 and vocabulary[i] == above[t]
                    axes.add_patch(Rectangle((t - 0.2, y - 0.5), 0.4, 1, fc=color, ec=INK))
                    label = axes.text(t, y, f"{value:.{digits}f}", ha="center", va="center")
                    label.set(color=TARGET if green else INK, weight="bold" if green else "normal")
                    if not t and level != 1:
                        axes.text(-0.28, y, vocabulary[i], ha="right", va="center")
                if not t:
                    axes.text(-0.75, middle, name, ha="center", va="center")
                if level:
                    end, start = middle - len(values) / 2, middle - 6 + len(layers[level - 1]) / 2
                    axes.annotate("", (t, end), (t, start), arrowprops={"arrowstyle": "->", "color": INK})
            if t:
                axes.annotate("", (t - 0.2, 6), (t - 0.8, 6), arrowprops={"arrowstyle": "->", "color": "#0072b2"})
                if sampled:  # what was drawn is read next
                    bend = {"arrowstyle": "->", "color": TARGET, "connectionstyle": "angle,angleA=0,angleB=90,rad=6"}
                    axes.annotate("", (t - 0.32, -2.8), (t - 0.86, top), arrowprops={**bend, "linestyle": "--"})
            axes.text(t, -2.8, f"‘{text[t]}’", ha="center", va="center")
            axes.text(t, top, f"‘{above[t]}’", ha="center", va="center", color=TARGET, weight="bold")
        word = "drawn" if sampled else "target"
        axes.text(-0.75, top, word, ha="center", va="center", color=TARGET, weight="bold")
        axes.text(0.07, 3, "$W_{xh}$", va="center")
        axes.text(0.07, 9, "$W_{hy}$", va="center")
        axes.text(0.5, 6.5, "$W_{hh}$", ha="center")
        axes.set(xlim=(-1.05, len(text) - 0.6), ylim=(-3.6, top + 0.8), title=title)
        axes.axis("off")


def one_hot_product(path: Path, weight: Any, vocabulary: str, character: str) -> None:
    """The slide's product: a matrix (units, characters) times the one-hot vector of a character, which is a column."""
    from matplotlib.patches import Rectangle

    characters = weight.shape[1]
    chosen = vocabulary.index(character)
    one_hot = np.eye(characters)[:, [chosen]]
    with figure(path, 7.5, 2.6) as drawing:
        axes = drawing.subplots()
        left = 0.0
        for values, name, sign in ((weight, "$W_{xh}$", "×"), (one_hot, "one-hot", "="), (weight[:, [chosen]], "", "")):
            rows, columns = values.shape
            for row in range(rows):
                for column in range(columns):
                    marked = values is not one_hot and column == (chosen if values is weight else 0)
                    x, y = left + column, (rows - 1) / 2 - row
                    color = "#dcecc9" if marked else "#fbd5c8" if values is one_hot else "#ffffff"
                    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fc=color, ec=INK))
                    text = (
                        f"{values[row, column]:.0f}"
                        if values is one_hot
                        else f"{np.round(values[row, column], 2) + 0.0:.2f}"
                    )
                    axes.text(x, y, text, ha="center", va="center", weight="bold" if marked else "normal")
            if values is one_hot:
                for row, letter in enumerate(vocabulary):
                    axes.text(left + 0.62, (rows - 1) / 2 - row, letter, va="center")
            middle = left + (columns - 1) / 2
            axes.text(middle, rows / 2 + 0.35, name or f"column of ‘{character}’", ha="center", va="center")
            left += columns + 1.4
            axes.text(left - 1.4 - 0.5 + 0.7, 0, sign, ha="center", va="center", fontsize=14)
        axes.set(xlim=(-0.8, left - 1.2), ylim=(-characters / 2 - 0.3, characters / 2 + 0.8), aspect="equal")
        axes.axis("off")


def curves(path: Path, title: str, xlabel: str, ylabel: str, lines: dict[str, Any], **settings: Any) -> None:
    """Named lines over the step number, or over their own x where a line is a pair (x, y)."""
    with figure(path, 7, 4) as drawing:
        axes = drawing.subplots()
        for (name, line), style in zip(lines.items(), ("-", "--", "-.", ":") * len(lines)):
            x, y = line if isinstance(line, tuple) else (np.arange(1, len(line) + 1), line)
            axes.plot(x, y, style, label=name)
        axes.set(title=title, xlabel=xlabel, ylabel=ylabel, **settings)
        if len(lines) > 1:
            axes.legend(frameon=False)
        axes.grid(alpha=0.3)


def guesses(path: Path, title: str, image: Any, probabilities: Any, names: Sequence[str]) -> None:
    """An image (T, width) that is read row by row, and beside each row what the network then believes (T, classes)."""
    with figure(path, 7.5, 3.2) as drawing:
        left, right = drawing.subplots(1, 2, sharey=True, width_ratios=[1, 2])
        left.imshow(image, cmap="gray_r", aspect="auto")
        left.set(xticks=[], yticks=range(len(image)), yticklabels=range(1, len(image) + 1), ylabel="time step (row)")
        right.imshow(probabilities, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        right.set_xticks(range(len(names)), names)
        right.set_title(title, fontsize=10)
        for axes in (left, right):
            axes.tick_params(length=0)


def film(path: Path, frames: Any, guesses: Sequence[str], truth: Sequence[str]) -> None:
    """Frames (T, height, width) side by side; under each what was guessed, in red and with the truth where wrong."""
    with figure(path, 1.3 * len(frames), 1.8) as drawing:
        for t, (axes, frame) in enumerate(zip(drawing.subplots(1, len(frames)), frames)):
            axes.imshow(frame, cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[], title=f"t = {t + 1}")
            right = guesses[t] == truth[t]
            label = guesses[t] if right else f"{guesses[t]}  ({truth[t]})"
            axes.set_xlabel(label if t else "–", fontsize=14, color=TARGET if right or not t else "#b00020")


def coloured_text(path: Path, lines: Sequence[tuple[str, str, Any]]) -> None:
    """Lines (name, text, a number for each character); behind a character its number: -1 orange, 0 white, 1 blue."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("", ["#e69f00", "#ffffff", "#56b4e9"])
    margin, longest = max(len(name) for name, _, _ in lines), max(len(text) for _, text, _ in lines)
    behind = np.zeros((len(lines), longest))
    columns = margin + longest + 3
    with figure(path, 0.0836 * columns, 0.21 * len(lines), "path") as drawing:  # 0.0836: a character of 10 points
        drawing.set_layout_engine("none")
        axes = drawing.add_axes((0, 0, 1, 1))
        font = {"fontsize": 10, "family": "DejaVu Sans Mono", "parse_math": False}
        for row, (name, text, values) in enumerate(lines):
            behind[row, : len(text)] = values
            line = f"{name:<{margin}} {text}".replace("\n", "↵").replace(" ", "\xa0")
            axes.text(-margin - 1, row, line, va="center_baseline", **font)
        axes.imshow(behind, cmap=colours, vmin=-1, vmax=1, aspect="auto", extent=(0, longest, len(lines) - 0.5, -0.5))
        axes.set(xlim=(-margin - 2, columns - margin - 2), ylim=(len(lines) - 0.5, -0.5))
        axes.axis("off")


def formulas(path: Path, lines: Sequence[tuple[str, str]]) -> None:
    """Equations in LaTeX, one below the other, and at the right of each what it holds for; many in two columns."""
    heights = [0.6 if r"\sum" in line else 0.48 if r"\frac" in line else 0.34 for line, _ in lines]
    columns = 2 if len(lines) > 14 else 1
    split = next(n for n in range(len(lines) + 1) if sum(heights[:n]) >= sum(heights) / columns - 1e-9)
    parts = [range(split), range(split, len(lines))][:columns]
    size = max(sum(heights[n] for n in part) for part in parts)
    with figure(path, 7.5 * columns, size, "path") as drawing:
        for column, part in enumerate(parts):
            top = size
            for n in part:
                (line, note), y = lines[n], (top - heights[n] / 2) / size
                large, left, right = line.replace(r"\frac", r"\dfrac"), 0.01 + column, 0.96 + column
                drawing.text(left / columns, y, f"${large}$", va="center", fontsize=10.5, math_fontfamily="cm")
                drawing.text(right / columns, y, note, va="center", ha="right", fontsize=8, color="#5c5f66")
                top -= heights[n]
