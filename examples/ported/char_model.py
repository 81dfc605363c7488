"""A character model: an LSTM reads a text in windows, carries its state over, and writes."""

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn

TEXT = "she sells sea shells by the sea shore. " * 20
CHARACTERS = sorted(set(TEXT))


class CharModel(nn.Module):
    """A vector for each character, an LSTM, scores of the next one."""

    def __init__(self, size: int, embedding: int = 16, hidden: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(size, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.head = nn.Linear(hidden, size)

    def forward(self, x: Any, state: Any = None) -> Any:
        """Indices (N, T) and a state -> scores (N, T, characters) and the next state."""
        output, state = self.lstm(self.embed(x), state)
        return self.head(output), state


def main(steps: int = 200, weights: Any = None) -> list[float]:
    """Train, write a little, return the losses."""
    tg.manual_seed(0)
    model = CharModel(len(CHARACTERS))
    if weights is not None:
        model.load_state_dict(weights)
    criterion = nn.CrossEntropyLoss()
    optimizer = tg.optim.Adam(model.parameters(), lr=0.01)
    text = tg.tensor(np.array([CHARACTERS.index(c) for c in TEXT]))
    streams = text[: len(text) // 4 * 4].view(4, -1)
    length, losses, state = 16, [], None
    for step in range(steps):
        start = step * length % (streams.size(1) - length - 1)
        x, y = streams[:, start : start + length], streams[:, start + 1 : start + length + 1]
        if start == 0:
            state = None
        scores, state = model(x, state)
        state = tuple(s.detach() for s in state)
        loss = criterion(scores.reshape(-1, len(CHARACTERS)), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    written, state = [CHARACTERS.index("s")], None
    with tg.no_grad():
        for _ in range(40):
            scores, state = model(tg.tensor([[written[-1]]]), state)
            written.append(int(tg.softmax(scores[0, -1], dim=-1).argmax()))
    print("".join(CHARACTERS[i] for i in written))
    return losses


if __name__ == "__main__":
    print(f"loss {main()[-1]:.3f}")
