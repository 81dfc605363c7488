"""Sequence to sequence with attention: digits are read and written backwards."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

DIGITS, START, LENGTH = 10, 10, 6


class Encoder(nn.Module):
    """A GRU over the digits."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(DIGITS + 1, hidden)
        self.gru = nn.GRU(hidden, hidden)

    def forward(self, x: Any) -> Any:
        """Digits (T, N) -> all states (T, N, H) and the last (1, N, H)."""
        return self.gru(self.embedding(x))


class AttentionDecoder(nn.Module):
    """A GRU that looks back at the encoder's states at every step."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(DIGITS + 1, hidden)
        self.query = nn.Linear(hidden, hidden, bias=False)
        self.gru = nn.GRU(2 * hidden, hidden)
        self.out = nn.Linear(hidden, DIGITS)

    def forward(self, token: Any, hidden: Any, states: Any) -> Any:
        """Digits (N,), the state, the encoder's states -> scores (N, digits), the state, weights (N, 1, T)."""
        query = self.query(hidden[0]).unsqueeze(1)
        keys = states.permute(1, 0, 2)
        weights = F.softmax(torch.bmm(query, keys.transpose(1, 2)), dim=-1)
        context = torch.bmm(weights, keys).squeeze(1)
        x = torch.cat([self.embedding(token), context], dim=-1).unsqueeze(0)
        output, hidden = self.gru(x, hidden)
        return self.out(output[0]), hidden, weights


class Seq2Seq(nn.Module):
    """Both."""

    def __init__(self, hidden: int = 32) -> None:
        super().__init__()
        self.encoder = Encoder(hidden)
        self.decoder = AttentionDecoder(hidden)

    def forward(self, source: Any, target: Any) -> Any:
        """Digits (T, N), and the answer to follow -> scores (T, N, digits)."""
        states, hidden = self.encoder(source)
        token = torch.tensor(np.full(source.size(1), START))
        scores = []
        for t in range(target.size(0)):
            logits, hidden, _ = self.decoder(token, hidden, states)
            scores.append(logits)
            token = target[t]
        return torch.stack(scores, dim=0)


def main(steps: int = 300, weights: Any = None) -> list[float]:
    """Train and return the losses."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = Seq2Seq()
    if weights is not None:
        model.load_state_dict(weights)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=1e-4)
    losses = []
    for _ in range(steps):
        source = torch.tensor(rng.integers(DIGITS, size=(LENGTH, 16)))
        target = torch.flip(source, (0,))
        scores = model(source, target)
        loss = F.cross_entropy(scores.view(-1, DIGITS), target.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


if __name__ == "__main__":
    print(f"loss {main()[-1]:.3f}")
