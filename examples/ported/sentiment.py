"""Sentiment: is a sentence kind or unkind? A GRU reads it, one number says."""

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn
from tinygrad_rnn.data import DataLoader, TensorDataset

KIND, UNKIND, OTHER = (
    ("good", "fine", "great"),
    ("bad", "poor", "awful"),
    ("the", "film", "was", "plot", "and", "quite"),
)
WORDS = (*KIND, *UNKIND, *OTHER)


def sentences(count: int, rng: Any) -> Any:
    """Word numbers (count, 8) with one word that tells, after a "not" or without, and whether it is kind."""
    x = rng.integers(6, 12, size=(count, 8))
    tells = rng.integers(6, size=count)
    x[np.arange(count), rng.integers(8, size=count)] = tells
    return x, (tells < 3).astype(np.float32)


class Classifier(nn.Module):
    """Word vectors, a normalized GRU state, one score."""

    def __init__(self, embedding: int = 8, hidden: int = 16) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(WORDS), embedding)
        self.gru = nn.GRU(embedding, hidden, batch_first=True)
        self.head = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, x: Any) -> Any:
        """Words (N, T) -> scores (N,)."""
        _, last = self.gru(self.embed(x))
        return self.head(last[-1]).squeeze(-1)


def main(steps: int = 100, weights: Any = None) -> list[float]:
    """Train, judge on sentences never seen, return the losses."""
    tg.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = sentences(256, rng)
    loader = DataLoader(TensorDataset(tg.tensor(x), tg.tensor(y)), batch_size=32)
    model = Classifier()
    if weights is not None:
        model.load_state_dict(weights)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = tg.optim.RMSprop(
        [
            {"params": model.embed.parameters(), "lr": 0.02},
            {"params": [*model.gru.parameters(), *model.head.parameters()]},
        ],
        lr=0.005,
    )
    losses: list[float] = []
    while len(losses) < steps:
        for words, kind in loader:
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(words), kind)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    model.eval()
    x, y = sentences(500, rng)
    with tg.no_grad():
        right = ((model(tg.tensor(x)) > 0) == (tg.tensor(y) > 0.5)).float().mean()
    print(f"{right.item():.0%} of sentences never seen")
    return losses[:steps]


if __name__ == "__main__":
    print(f"loss {main()[-1]:.3f}")
