"""Words as vectors, read letter by letter: chars2vec 0.1.7 (Apache 2.0), two LSTMs with hard sigmoid gates."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import original
from packages import bars, command, fetched, found, numpy_lstm, shown, unpickled

import tinygrad_rnn as tg
from tinygrad_rnn.interchange import DIALECTS, load_weights


def reading(layers: list[tg.nn.LSTM], states: Any) -> Any:
    """The vector in NumPy."""
    for layer in layers:
        w = {name: value.numpy() for name, value in layer.state_dict().items()}
        bias = w["bias_ih_l0"] + w["bias_hh_l0"]
        states = numpy_lstm(states, w["weight_ih_l0"], w["weight_hh_l0"], bias, lambda a: np.clip(0.2 * a + 0.5, 0, 1))
    return states[-1]


def main(out: Path = Path("out"), words: tuple[str, str, str] = ("gradient", "gradeint", "banana")) -> float:
    """Compare a word with a misspelling and another one; returns how far the vectors are from Keras' or NumPy's."""
    folder = found(fetched("chars2vec==0.1.7"), "eng_50")
    _, ids = unpickled(folder / "model.pkl")
    layers = [
        tg.nn.LSTM(len(ids), 50, **DIALECTS["tfjs.lstm"].layer),
        tg.nn.LSTM(50, 50, **DIALECTS["tfjs.lstm"].layer),
    ]
    for k, layer in enumerate(layers, 1):  # Keras 2.2.4 wrote it: its gates are hard sigmoids
        load_weights(layer, folder / "weights.h5", "tfjs.lstm", prefix=f"lstm_{k}")
    inputs = [
        tg.tensor(np.eye(len(ids), dtype=np.float32)[[ids[c] for c in word]], requires_grad=True) for word in words
    ]
    vectors, apart, who = [], 0.0, ""
    for x in inputs:
        hidden = x.expand_dims(1)
        for layer in layers:
            hidden = layer(hidden)[0]
        vectors.append(hidden[-1, 0])
        given = x.numpy(), folder / "weights.h5"
        who, theirs = original.asked(original.chars2vec, given, partial(reading, layers, x.numpy()))
        apart = max(apart, float(np.abs(vectors[-1].numpy() - theirs).max()))
    print(f"the vectors are {who} within {apart:.1e}")
    distances = [(vectors[0] - other).square().sum() for other in vectors[1:]]
    for word, distance in zip(words[1:], distances):
        print(f"{words[0]} is {float(distance):.3f} from {word}")
    distances[0].backward(retain_graph=True)
    assert inputs[0].grad is not None
    print(f"what tells {words[0]} from {words[1]}:\n{bars(list(words[0]), inputs[0].grad.numpy())}")
    shown(distances[0], out / "chars2vec.html", f"chars2vec: {words[0]}, {words[1]}")
    return apart


if __name__ == "__main__":
    command(main)
