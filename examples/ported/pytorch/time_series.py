"""A time series: two cells follow waves, then go on by themselves."""

from typing import Any

import numpy as np
import torch
from torch import nn


class Forecaster(nn.Module):
    """Two LSTM cells on top of each other and a linear output."""

    def __init__(self, hidden: int = 24) -> None:
        super().__init__()
        self.hidden = hidden
        self.lstm1 = nn.LSTMCell(1, hidden)
        self.lstm2 = nn.LSTMCell(hidden, hidden)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, series: Any, future: int = 0) -> Any:
        """Values (N, T) -> predictions of the next one (N, T + future), the last ones from its own."""
        h1 = torch.zeros(series.size(0), self.hidden, dtype=torch.float32)
        c1, h2, c2 = torch.zeros_like(h1), torch.zeros_like(h1), torch.zeros_like(h1)
        outputs = []
        for t in range(series.size(1) + future):
            x = series[:, t : t + 1] if t < series.size(1) else outputs[-1]
            h1, c1 = self.lstm1(x, (h1, c1))
            h2, c2 = self.lstm2(h1, (h2, c2))
            outputs.append(self.linear(h2))
        return torch.cat(outputs, dim=1)


def main(steps: int = 60, weights: Any = None) -> list[float]:
    """Train, go on for twenty steps, return the losses."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 6.28, size=(8, 1))
    series = torch.tensor(np.sin(phase + 0.3 * np.arange(41)).astype(np.float32))
    model = Forecaster()
    if weights is not None:
        model.load_state_dict(weights)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02, amsgrad=True)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=20, gamma=0.5)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = criterion(model(series[:, :-1]), series[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    with torch.no_grad():
        ahead = model(series[:, :-1], future=20)[0, -20:]
    print(" ".join(f"{value:.2f}" for value in ahead.tolist()))
    return losses


if __name__ == "__main__":
    print(f"loss {main()[-1]:.3f}")
