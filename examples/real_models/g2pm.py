"""Which reading has a Chinese character? The BiLSTM of g2pM 0.1.2.5 (Apache 2.0), and what it looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import original
from packages import bars, command, fetched, found, numpy_lstm, shown, unpickled

import tinygrad_rnn as tg
from tinygrad_rnn.interchange import load_weights


def reading(x: Any, weights: dict[str, Any]) -> Any:
    """The states of both directions in NumPy."""
    halves = []
    for way, order in (("", 1), ("_reverse", -1)):
        w = [weights[f"lstm.{name}_l0{way}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        halves.append(numpy_lstm(x[::order], w[0], w[1], w[2] + w[3])[::order])
    return np.concatenate(halves, axis=1)


def main(out: Path = Path("out"), sentence: str = "他长大了", at: int = 1) -> float:
    """Read the character at position ``at``; returns how far the states are from g2pM's or NumPy's."""
    folder = fetched("g2pM==0.1.2.5")
    weights, ids, readings = (unpickled(found(folder, f"{n}.pkl")) for n in ("np_ckpt", "char2idx", "class2idx"))
    weights = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    layer = tg.nn.LSTM(64, 32, bidirectional=True)
    print("recognised as", load_weights(layer, weights, prefix="lstm").name)
    symbols = ["시", *sentence, "끝"]
    rows = [ids.get(each, ids["<UNK>"]) for each in symbols]
    x = tg.tensor(weights["embedding.weight"][rows], requires_grad=True)
    states = layer(x.expand_dims(1))[0].squeeze(1)
    who, theirs = original.asked(original.g2pm, (x.numpy(),), lambda: reading(x.numpy(), weights))
    apart = np.abs(states.numpy() - theirs).max()
    print(f"the states are {who} within {apart:.1e}")
    dense = [tg.tensor(weights[f"logit_layer.{k}.{name}"]) for k in (0, 2) for name in ("weight", "bias")]
    hidden = tg.nn.functional.linear(states[at + 1], dense[0], dense[1]).relu()
    scores = tg.nn.functional.linear(hidden, dense[2], dense[3])
    best = int(scores.numpy().argmax())
    print(f"{sentence[at]} in {sentence} is {next(name for name, k in readings.items() if k == best)}, because of")
    scores[best].backward(retain_graph=True)
    assert x.grad is not None
    print(bars(symbols, x.grad.numpy()))
    shown(scores[best], out / "g2pm.html", f"g2pM: {sentence}")
    return float(apart)


if __name__ == "__main__":
    command(main)
