"""Parts of speech in Japanese: the 16-unit BiLSTM over characters of nagisa 0.3.0 (MIT), from DyNet's text file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import original
from packages import bars, command, fetched, found, shown, sigmoid

import tinygrad_rnn as tg
from tinygrad_rnn.interchange import load_weights


def parameters(path: Path, under: str) -> dict[str, Any]:
    """The matrices whose names begin so: a line that says name and shape, a line of numbers by columns."""
    result = {}
    with path.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            words = line.split()
            if words and words[0] in ("#Parameter#", "#LookupParameter#") and words[1].startswith(under):
                shape = [int(n) for n in words[2].strip("{}").split(",")]
                numbers = np.array(next(lines).split(), np.float32)
                if numbers.size != np.prod(shape):
                    raise tg.DataError(f"{words[1]} should have {shape} numbers, but has {numbers.size}")
                result[words[1].removeprefix(under).lstrip("/")] = numbers.reshape(shape, order="F")
    return result


def numpy_dynet(x: Any, w: dict[str, Any]) -> Any:
    """The states of a VanillaLSTMBuilder: gates in the order i f o g, 1 added to f."""
    h, c, states = np.zeros(16, np.float32), np.zeros(16, np.float32), []
    for each in x:
        i, f, o, g = np.split(w["_0"] @ each + w["_1"] @ h + w["_2"], 4)
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.array(states)


def reading(x: Any, directions: list[dict[str, Any]]) -> Any:
    """The states of both directions in NumPy."""
    return np.concatenate([numpy_dynet(x[::way], w)[::way] for way, w in zip((1, -1), directions)], axis=1)


def main(out: Path = Path("out"), length: int = 6) -> float:
    """Run it over characters of the model's alphabet; returns how far the states are from DyNet's or NumPy's."""
    path = found(fetched("nagisa==0.3.0"), "nagisa_v001.model")
    forward, backward = (parameters(path, f"/birnn_2/vanilla-lstm-builder{k}/") for k in ("", "_1"))
    x = tg.tensor(parameters(path, "/_0")[""].T[10 : 10 + length].copy(), requires_grad=True)
    layer = tg.nn.LSTM(32, 16, bidirectional=True)
    print("recognised as", load_weights(layer, [forward, backward]).name)
    states = layer(x.expand_dims(1))[0].squeeze(1)
    directions = [forward, backward]
    who, theirs = original.asked(original.nagisa_dynet, (x.numpy(), directions), lambda: reading(x.numpy(), directions))
    apart = float(np.abs(states.numpy() - theirs).max())
    print(f"the states are {who} within {apart:.1e}")
    end = states[-1, :16].square().sum()
    end.backward(retain_graph=True)
    assert x.grad is not None
    print(f"what the last state remembers of each character:\n{bars([str(k) for k in range(length)], x.grad.numpy())}")
    shown(end, out / "nagisa.html", "nagisa: a DyNet BiLSTM")
    return apart


if __name__ == "__main__":
    command(main)
