"""Inside the cells: the LSTM's gates i, f, g, o around the cell state c, and the GRU's r, z, n around h.

Drawn with the value and the gradient of every box, from a model that has learnt to spell hello. The thick line is the
carried state: through an LSTM's c the gradient meets one product with f a time step, and no matrix.
"""

from __future__ import annotations

from pathlib import Path

from common import command, console, draw, train

import tinygrad_rnn as tg
from tinygrad_rnn import viz
from tinygrad_rnn.character_model.model import LectureModel


def main(steps: int = 150, out: Path = Path("out"), seed: int = 0) -> list[str]:
    """Train one of each, draw it; returns what they spell."""
    spelt = []
    for cell in ("lstm", "gru"):
        tg.manual_seed(seed)
        model = LectureModel("helo", cell, hidden=3)
        optimizer = tg.optim.Adam(model.parameters(), lr=0.1)

        @tg.compile
        def step(model: LectureModel = model, optimizer: tg.optim.Adam = optimizer) -> tg.Tensor:
            loss = model.unroll("hell", "ello")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        train(cell.upper(), steps, lambda _k, step=step: step())
        spelt.append(model.spell("h", 4))
        console.print(f"the {cell.upper()} spells {spelt[-1]}")
        captions = [f"‘{a}’ → ‘{b}’" for a, b in zip("he", "el")]
        two = model.unroll("he", "el")  # steps are alike: two fit on a slide
        draw(two, out / f"{cell}-gates.svg", detail="gate", values=True, grads=True, captions=captions)
        loss = model.unroll("hell", "ello")
        viz.debug(loss).html(out / f"{cell}-gates.html", title=f"{cell.upper()}, hell → ello")
    return spelt


if __name__ == "__main__":
    command(main, quick=40)
