"""``tinygrad-rnn demo``: the lecture's character model, trained, spelling, and drawn three times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import TinygradError
from .options import PATH, number, output
from .progress_bar import progress_bar


@click.command()
@output("Folder.", "out", PATH)
@number("--seed", "Of weights and samples.", 0, least=0)
def demo(output: Path, seed: int) -> None:
    """Train the lecture's "hello" model and draw it three times.

    Over the vocabulary h, e, l, o it reads "hell" and learns to predict "ello", as an RNN and as an LSTM.

    \b
    Example:
      tinygrad-rnn demo -o pictures
    """
    import numpy as np
    from rich.console import Console

    from .. import viz
    from ..character_model.model import LectureModel
    from ..optim import Adam
    from ..random import manual_seed

    console = Console(highlight=False)
    text, target = "hell", "ello"
    captions = [f"‘{a}’ → ‘{b}’" for a, b in zip(text, target, strict=True)]
    models = {}
    with progress_bar(console) as bar:
        for kind in ("rnn", "lstm"):
            manual_seed(seed)
            model = models[kind] = LectureModel("helo", kind, hidden=3)
            optimizer = Adam(model.parameters(), lr=0.1)
            task = bar.add_task(f"training the {kind.upper()}", total=500, shown="")
            for _ in range(500):
                optimizer.zero_grad()
                loss = model.unroll(text, target)
                loss.backward()
                optimizer.step()
                spelt = model.spell("h", 4)
                bar.update(task, advance=1, shown=f"loss {loss.item():.3f}  h → {spelt}")
                if loss.item() < 0.01 and spelt == "hello":
                    break
            else:
                raise TinygradError(f"the {kind.upper()} did not learn to spell hello from seed {seed}; try another")
            bar.update(task, total=bar.tasks[task].completed)
    for kind, model in models.items():
        drawn = model.spell("h", 4, np.random.default_rng(seed))
        console.print(f"The {kind.upper()}, given “h” and fed back what it draws: [bold]{drawn}[/bold]")

    def picture(name: str, kind: str, shows: str, **options: Any) -> None:
        loss = models[kind].unroll(text, target)
        viz.render(loss, output / name, captions=captions, **options)
        console.print(f"[bold]{output / name}[/bold]  {shows}", soft_wrap=True)

    picture(
        "hello-rnn.svg",
        "rnn",
        "the RNN unrolled over four steps, as on the slides: x below, one W for every step, y and its loss above",
        values=True,
    )
    picture(
        "hello-lstm.svg",
        "lstm",
        "the same network as an LSTM at gate level: the value and gradient norm of every "
        "node, and what each step adds to dL/dW",
        detail="gate",
        values=True,
        grads=True,
    )
    picture(
        "hello-backward.svg",
        "rnn",
        "the RNN's forward graph and, upside down above it, its backward graph: from each loss back "
        "into its state, and from right to left through time",
        backward=True,
    )
