"""All experiments in little, a few networks from one seed: a quarter of a minute, not ten.

What a single seed shows is an example, not a result; `run.py` measures all of them and writes docs/results.md.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import adding
import copy_memory
import min_char_rnn
import temporal_order
from protocol import Plan, Result, Task
from report import console, curves

from tinygrad_rnn.cli.progress_bar import progress_bar
from tinygrad_rnn.errors import TinygradError
from tinygrad_rnn.files import write_atomically


def shorter(task: Task, steps: int, hidden: int = 64) -> Task:
    """The same task with less time to learn it, or fewer units: enough to see who does."""
    return replace(task, hidden=hidden, plans={name: replace(plan, steps=steps) for name, plan in task.plans.items()})


CONTRASTS = (
    (shorter(adding.TASK, 1200, hidden=32), ("GRU", "LSTM, forget bias 1", "tanh", "IRNN")),
    (shorter(copy_memory.TASK, 1000), ("GRU", "tanh")),
    (shorter(temporal_order.TASK, 800), ("LSTM, forget bias 1", "LSTM, forget bias 0")),
    (replace(min_char_rnn.TASK, plans={"tanh": Plan("min-char", min_char_rnn.READING)}), ("tanh",)),
)


def main(
    out: Path = Path("out"), seed: int = 4, contrasts: Sequence[tuple[Task, Sequence[str]]] = CONTRASTS
) -> dict[str, dict[str, Result]]:
    """Measure, print, draw, and return the results by task and network."""
    found: dict[str, dict[str, Result]] = {}
    with progress_bar(console) as bar:
        whole = bar.add_task("networks", total=sum(len(names) for _, names in contrasts), shown="")
        for task, names in contrasts:
            console.print(f"{task.title}: {task.unit}, {task.baseline:.3g} if it is ignored", soft_wrap=True)
            results = found[task.name] = {}
            for name in names:
                result = task.measure(name, seed)
                assert result is not None  # nothing stops it
                results[name] = result
                console.print(f"  {name:<20} {result.score:8.3g} after {task.sequences * result.steps:,} sequences")
                if result.text:
                    console.print(f"  writes {result.text[:80]!r}", markup=False, soft_wrap=True)
                bar.advance(whole)
            write_atomically(out / f"{task.name}.svg", curves(task, {n: {seed: r} for n, r in results.items()}))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=inspect.getdoc(inspect.getmodule(main)))
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures (default: out)")
    parser.add_argument("--seed", type=int, default=4, help="of weights and data (default: 4)")
    arguments = parser.parse_args()
    if arguments.seed < 0:
        parser.error(f"argument --seed: {arguments.seed} is below 0")
    try:
        main(**vars(arguments))
    except TinygradError as error:
        parser.exit(2, f"Error: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "interrupted\n")
