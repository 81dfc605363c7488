"""How long `tg.diagnose` takes on an LSTM, and what walking anew for every edit would.

    python benchmarks/diagnose_speed.py [--steps 10 20] [--hidden 8] [--rows 1] [--all-wrong]

Processor seconds of one search over all single edits that finds nothing, as one leaf is random, or all; beside the
naive search: one whole edited walk an edit, measured on a hundred of them, spread evenly, times their number.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.diagnosis.edit_context import Scene
from tinygrad_rnn.diagnosis.edited_walks import Record
from tinygrad_rnn.diagnosis.edits import candidates


def problem(steps: int, hidden: int, rows: int, all_wrong: bool) -> tuple[tg.Tensor, dict[str, np.ndarray]]:
    """An LSTM's loss, and gradients of which one is random, or all."""
    rng = np.random.default_rng(0)
    tg.manual_seed(0)
    cell = tg.nn.LSTMCell(hidden, hidden, dtype=np.float64)
    leaves = dict(cell.named_parameters())
    for name, leaf in leaves.items():
        leaf.name = name
    for name in ("h0", "c0"):
        leaves[name] = tg.tensor(rng.standard_normal((rows, hidden)), requires_grad=True, name=name)
    state, loss = (leaves["h0"], leaves["c0"]), tg.tensor(0.0, dtype=np.float64)
    for _ in tg.steps(steps):
        state = cell(tg.tensor(rng.standard_normal((rows, hidden))), state)
        loss = loss + (state[0] * rng.standard_normal((rows, hidden))).sum()
    found = tg.grad(loss, list(leaves.values()), retain_graph=True)
    given = {name: np.array(g.numpy()) for name, g in zip(leaves, found, strict=True) if g is not None}
    for name in given if all_wrong else ("weight_hh",):
        given[name] += rng.standard_normal(given[name].shape)
    return loss, given


def main() -> None:
    """Print a line a size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 20])
    parser.add_argument("--hidden", type=int, default=8)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--all-wrong", action="store_true")
    asked = parser.parse_args()
    print("| steps | hidden | edits | search, s | naive, s | ratio |\n|---|---|---|---|---|---|")
    for steps in asked.steps:
        loss, given = problem(steps, asked.hidden, asked.rows, asked.all_wrong)
        tg.diagnose(loss, given, max_edits=1)  # what is only paid once
        start = time.process_time()
        tg.diagnose(loss, given, max_edits=1)
        ours = time.process_time() - start
        record = Record(loss)
        scene = Scene(record, {}, nearly=False)
        edits = list(candidates(scene))
        some = edits[:: max(len(edits) // 100, 1)]
        start = time.process_time()
        for edit in some:
            record.walked(edit)
        naive = (time.process_time() - start) / len(some) * len(edits)
        print(
            f"| {steps} | {asked.hidden} | {len(edits)} | {ours:.1f} | {naive:.1f} | {naive / ours:.0f} |", flush=True
        )


if __name__ == "__main__":
    main()
