"""Runs experiments behind a progress bar, keeps what is measured, and writes the page about it."""

from __future__ import annotations

import argparse
import io
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from protocol import WINDOW, Result, Task
from rich.console import Console

import tinygrad_rnn as tg
from tinygrad_rnn.cli.errors_and_interrupts import noted_interrupt
from tinygrad_rnn.cli.progress_bar import progress_bar
from tinygrad_rnn.errors import DataError, TinygradError
from tinygrad_rnn.files import write_atomically

console = Console(highlight=False)
Results = dict[str, dict[int, Result]]  #: by network and seed


def main(tasks: Sequence[Task]) -> None:
    """Measure what has not been measured yet, then write the page. Ctrl-C keeps every finished run."""
    parser = argparse.ArgumentParser(description="Results of the literature, measured again.")
    parser.add_argument("--out", type=Path, default=Path("out/results.md"), help="the page (default: out/results.md)")
    parser.add_argument("--kept", type=Path, default=Path("out/results.json"), help="finished runs, to go on from")
    parser.add_argument("--again", action="store_true", help="forget the finished runs")
    arguments = parser.parse_args()
    try:
        _measure(tasks, arguments.out, arguments.kept, {} if arguments.again else _kept(arguments.kept))
    except TinygradError as error:
        parser.exit(2, f"Error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, f"interrupted; what is finished is kept in {arguments.kept}\n")


def _kept(path: Path) -> dict[str, Any]:
    """The finished runs in a file, if there is one."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        for run in kept.values():
            _ = Result(**run["result"]), run["settings"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise DataError(f"{path} holds no finished runs; start anew with --again") from None
    return dict(kept)


def _measure(tasks: Sequence[Task], out: Path, keep: Path, kept: dict[str, Any]) -> None:
    runs = [(task, name, seed) for task in tasks for name, plan in task.plans.items() for seed in plan.seeds]
    with progress_bar(console) as bar, noted_interrupt("stopping after this step") as interrupt:
        whole = bar.add_task("runs", total=len(runs), shown="")
        for task, name, seed in runs:
            key = f"{task.name}, {name}, seed {seed}"
            if kept.get(key, {}).get("settings") != task.settings(name):
                line = bar.add_task(key, total=task.plans[name].steps, shown="")

                def advance(loss: float, line: Any = line) -> bool:
                    bar.update(line, advance=1, shown=f"loss {loss:.3f}")
                    return not interrupt

                result = task.measure(name, seed, advance)
                bar.remove_task(line)
                if result is None:
                    break
                kept[key] = {"settings": task.settings(name), "result": asdict(result)}
                write_atomically(keep, json.dumps(kept).encode())
                console.print(f"{key}: {result.score:.4f} after {result.steps} steps, {result.seconds:.1f} s")
            bar.advance(whole)
    if interrupt:
        raise KeyboardInterrupt
    measured = [(task, results_of(task, kept)) for task in tasks]
    for task, results in measured:
        write_atomically(out.parent / "images" / f"{task.name}.svg", curves(task, results))
    write_atomically(out, page(measured).encode())
    console.print(out, style="bold", markup=False, soft_wrap=True)


def results_of(task: Task, kept: dict[str, Any]) -> Results:
    """The kept results of one task."""
    return {
        name: {seed: Result(**kept[f"{task.name}, {name}, seed {seed}"]["result"]) for seed in plan.seeds}
        for name, plan in task.plans.items()
    }


def page(measured: Sequence[tuple[Task, Results]]) -> str:
    """The whole page in Markdown."""
    where = f"Python {platform.python_version()}, NumPy {np.__version__}, tinygrad_rnn {tg.__version__}"
    parts = [
        "# Results of the literature, measured again\n",
        "Made by one command, `python examples/tasks/run.py --out docs/results.md`. A run is one network from one "
        "seed, trained on ever new random sequences and judged on 1000 that it has not seen. Scores are given as the "
        "median and the worst of all seeds. Seconds are processor time of one run without compilation, on two shared "
        f"cores with {where}.\n",
    ]
    return "\n".join([*parts, *(section(task, results) for task, results in measured)])


def section(task: Task, results: Results) -> str:
    """One experiment: protocol, table, words, curves."""
    rows = [
        f"| {task.unit} | seeds | median | worst | below {task.threshold:.3g} | sequences | seconds | in the paper |",
        "|---|---|---|---|---|---|---|---|",
        f"| *the sequence ignored* | | *{task.baseline:.3g}* | | | | | |",
    ]
    for name, runs in results.items():
        scores = [run.score for run in runs.values()]
        below = sum(score < task.threshold for score in scores)
        sizes = sorted({task.sequences * run.steps for run in runs.values()})
        span = f"{sizes[0]:,}" + (f" to {sizes[-1]:,}" if len(sizes) > 1 else "")
        seconds = np.median([run.seconds for run in runs.values()])
        rows.append(
            f"| {name} | {len(runs)} | {np.median(scores):.3g} | {max(scores):.3g} | {below} of {len(runs)} | "
            f"{span} | {seconds:.1f} | {task.plans[name].theirs} |"
        )
    texts = [
        f"What it writes then:\n\n    {run.text!r}\n"
        for runs in results.values()
        for run in [*runs.values()][:1]
        if run.text
    ]
    return "\n".join(
        [
            f"## {task.title}\n",
            f"*Paper.* {task.paper}.\n",
            f"*Protocol.* {task.protocol}.\n",
            *rows,
            f"\n{task.words}\n",
            *texts,
            f"![Training loss](images/{task.name}.svg)\n",
        ]
    )


def curves(task: Task, results: Results) -> bytes:
    """The training losses: a line per run, a colour and a dash per network, the baseline dotted."""
    import matplotlib
    from matplotlib.figure import Figure

    colours = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
    dashes = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 3)))
    with matplotlib.rc_context({"svg.hashsalt": task.name, "font.size": 9}):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        axes = figure.subplots()
        for (name, runs), colour, dash in zip(results.items(), colours, dashes):
            for i, run in enumerate(runs.values()):
                x = WINDOW * np.arange(1, len(run.losses) + 1)
                axes.plot(x, run.losses, color=colour, ls=dash, lw=1.2, label=None if i else name)
        axes.axhline(task.baseline, color="#1a1a1a", ls=":", lw=1)
        axes.annotate("baseline ", (1, task.baseline), xycoords=("axes fraction", "data"), ha="right", va="bottom")
        axes.set(title=task.title, xlabel="step", ylabel=task.unit)
        axes.set_yscale("log" if task.threshold < task.baseline / 5 else "linear")
        axes.set_ylim(top=1.4 * task.baseline)  # some start far above
        axes.grid(alpha=0.3)
        if len(results) > 1:
            figure.legend(loc="outside right upper", frameon=False)
        data = io.BytesIO()
        figure.savefig(data, format="svg", metadata={"Date": None})
    return data.getvalue()
