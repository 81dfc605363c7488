"""What comes next? textgenrnn 2.0.0 (MIT): two LSTMs whose weights CuDNN's layers of Keras scrambled, and attention."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import original
from packages import bars, command, fetched, found, numpy_lstm, shown

import tinygrad_rnn as tg
from tinygrad_rnn.interchange import load_weights
from tinygrad_rnn.optional_packages import needed

#: how many characters the network reads
STEPS = 40


def reading(layers: list[tg.nn.LSTM], states: Any) -> Any:
    """The states of both layers side by side, in NumPy."""
    found = []
    for layer in layers:
        w = {name: value.numpy() for name, value in layer.state_dict().items()}
        states = numpy_lstm(states, w["weight_ih_l0"], w["weight_hh_l0"], w["bias_ih_l0"] + w["bias_hh_l0"])
        found.append(states)
    return np.concatenate(found, axis=1)


def main(out: Path = Path("out"), text: str = "the meaning of lif") -> float:
    """Guess the next character; returns how far the LSTMs' states are from Keras' or NumPy's."""
    with needed("a Keras file", "keras"):
        import h5py
    folder = fetched("textgenrnn==2.0.0")
    path = found(folder, "textgenrnn_weights.hdf5")
    ids = json.loads(found(folder, "textgenrnn_vocab.json").read_text(encoding="utf-8"))
    with h5py.File(path, "r") as file:
        names = (
            "embedding/embedding/embeddings:0",
            "attention/attention/attention_W:0",
            "output/output/kernel:0",
            "output/output/bias:0",
        )
        embedding, attention, kernel, bias = (file[name][()] for name in names)
    layers = [tg.nn.LSTM(100, 128), tg.nn.LSTM(128, 128)]
    for k, layer in enumerate(layers, 1):
        print(f"rnn_{k} is recognised as", load_weights(layer, path, prefix=f"rnn_{k}").name)
    read = [0] * max(0, STEPS - len(text)) + [ids[c] for c in text]  # it was trained on windows filled up in front
    x = tg.tensor(embedding[read], requires_grad=True)
    hidden, seen = x.expand_dims(1), [x]
    for layer in layers:
        hidden = layer(hidden)[0]
        seen.append(hidden.squeeze(1))
    who, theirs = original.asked(original.textgenrnn, (x.numpy(), path), lambda: reading(layers, x.numpy()))
    apart = float(np.abs(tg.concat(seen[1:], axis=-1).numpy() - theirs).max())
    print(f"the states are {who} within {apart:.1e}")
    everything = tg.concat(seen, axis=-1)
    share = (everything @ tg.tensor(attention)).softmax(0)
    scores = (everything * share).sum(0) @ tg.tensor(kernel) + tg.tensor(bias)
    order = np.argsort(-scores.numpy())[:5]
    letters = {number: letter for letter, number in ids.items()}
    print(f"after {text!r} comes {', '.join(repr(letters.get(int(k), '?')) for k in order)}; attention:")
    print(bars(list(text), share.numpy()[-len(text) :]))
    shown(scores[int(order[0])], out / "textgenrnn.html", f"textgenrnn: {text}")
    return apart


if __name__ == "__main__":
    command(main)
