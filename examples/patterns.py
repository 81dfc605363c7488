"""The five shapes of sequence processing: what goes in, what comes out, and one recurrence in between."""

from __future__ import annotations

from pathlib import Path

from common import command, draw

from tinygrad_rnn.sequence_patterns import PATTERNS, build


def main(steps: int = 4, out: Path = Path("out"), seed: int = 0) -> None:
    """Draw a freshly made network of each shape over so many time steps."""
    for pattern in PATTERNS:
        loss = build(pattern, "rnn", steps, seed=seed)
        draw(loss, out / f"pattern-{pattern}.svg", title=pattern.replace("-", " "), walk=True)


if __name__ == "__main__":
    command(main, quick=2)
