"""A tagger: sentences of different lengths, padded; what is padding is neither read nor scored."""

from typing import Any

import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn import nn

PAIRS = (
    ("the dog ate the apple", "D N V D N"),
    ("everybody read that book", "N V D N"),
    ("dogs bark", "N V"),
    ("the old cat saw a dog", "D A N V D N"),
)
WORDS = ["<pad>", *sorted({word for sentence, _ in PAIRS for word in sentence.split()})]
TAGS = sorted({tag for _, tags in PAIRS for tag in tags.split()})


class Tagger(nn.Module):
    """Word vectors, an LSTM in both directions, scores of the tags."""

    def __init__(self, embedding: int = 12, hidden: int = 10) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(WORDS), embedding, padding_idx=0)
        self.lstm = nn.LSTM(embedding, hidden, bidirectional=True)
        self.hidden2tag = nn.Linear(2 * hidden, len(TAGS))

    def forward(self, words: Any, lengths: Any) -> Any:
        """Words (T, N) -> scores (T, N, tags)."""
        output, _ = self.lstm(self.embed(words), lengths=lengths)
        return self.hidden2tag(output)


def main(steps: int = 100, weights: Any = None) -> list[float]:
    """Train, tag, return the losses."""
    tg.manual_seed(0)
    model = Tagger()
    if weights is not None:
        model.load_state_dict(weights)
    words = [tg.tensor(np.array([WORDS.index(w) for w in sentence.split()])) for sentence, _ in PAIRS]
    tags = [tg.tensor(np.array([TAGS.index(t) for t in line.split()])) for _, line in PAIRS]
    lengths = [len(x) for x in words]
    x = nn.utils.rnn.pad_sequence(words)
    y = nn.utils.rnn.pad_sequence(tags, padding_value=-100)
    criterion = nn.CrossEntropyLoss(ignore_index=-100, label_smoothing=0.05)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    losses = []
    for _ in range(steps):
        scores = model(x, lengths)
        loss = criterion(scores.flatten(0, 1), y.flatten())
        model.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with tg.no_grad():
        best = model(x, lengths).argmax(dim=-1)
    print(" ".join(TAGS[int(best[t, 0])] for t in range(lengths[0])))
    return losses


if __name__ == "__main__":
    print(f"loss {main()[-1]:.3f}")
