"""Where does a Chinese word end? The first BiGRU of jieba 0.42.1 (MIT), in the operator of Paddle that made it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import original
from packages import bars, command, fetched, found, shown, sigmoid

import tinygrad_rnn as tg
from tinygrad_rnn.interchange import DIALECTS, load_weights


def tensor(path: Path, *shape: int) -> Any:
    """Paddle's tensor file: a header with a description of some bytes, then the numbers."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<i", data, 16)
    numbers = np.frombuffer(data, np.float32, offset=20 + size)
    if size < 0 or numbers.size % int(np.prod(shape)):
        raise tg.DataError(f"{path.name} does not hold {shape} numbers")
    return numbers.reshape(-1, *shape[1:]) if len(shape) > 1 else numbers


def numpy_op(x: Any, w: dict[str, Any]) -> Any:
    """The states of `dynamic_gru`, from its buffer as it lies in memory: (H, 2H), then (H, H)."""
    a, buffer = x @ w["fc/w"] + w["fc/b"] + w["gru/b"][0], w["gru/w"].ravel()
    size, h, states = 128, np.zeros(128, np.float32), []
    gates, candidate = buffer[: 2 * size * size].reshape(size, -1), buffer[2 * size * size :].reshape(size, -1)
    for each in a:
        u, r = np.split(sigmoid(each[: 2 * size] + h @ gates), 2)
        h = (1 - u) * h + u * np.tanh(each[2 * size :] + (r * h) @ candidate)
        states.append(h)
    return np.array(states)


def reading(x: Any, directions: list[dict[str, Any]]) -> Any:
    """The states of both directions in NumPy."""
    return np.concatenate([numpy_op(x[::way], w)[::way] for way, w in zip((1, -1), directions)], axis=1)


def main(out: Path = Path("out"), ids: tuple[int, ...] = (100, 2000, 345, 17, 9000)) -> float:
    """Run the first layer over some characters' numbers; returns how far the states are from Paddle's or NumPy's."""
    folder = found(fetched("jieba==0.42.1"), "model_baseline")
    x = tg.tensor(tensor(folder / "word_emb", 1, 128)[list(ids)], requires_grad=True)
    directions = []
    for k in range(2):
        directions.append(
            {
                "fc/w": tensor(folder / f"fc_{k}.w_0", 1, 384),
                "fc/b": tensor(folder / f"fc_{k}.b_0", 384),
                "gru/w": tensor(folder / f"gru_{k}.w_0", 1, 384),
                "gru/b": tensor(folder / f"gru_{k}.b_0", 1, 384),
            }
        )
    layer = tg.nn.GRU(128, 128, bidirectional=True, **DIALECTS["paddle.gru_op"].layer)
    load_weights(layer, directions, "paddle.gru_op")
    states = layer(x.expand_dims(1))[0].squeeze(1)
    who, theirs = original.asked(original.jieba_lac, (x.numpy(), directions), lambda: reading(x.numpy(), directions))
    apart = float(np.abs(states.numpy() - theirs).max())
    print(f"the states are {who} within {apart:.1e}")
    unit = int(np.abs(states.numpy()[2]).argmax())
    states[2, unit].backward(retain_graph=True)
    assert x.grad is not None
    print(f"unit {unit} in the middle looks at\n{bars([str(each) for each in ids], x.grad.numpy())}")
    shown(states[2, unit], out / "jieba.html", "jieba: a BiGRU in Paddle's operator")
    return apart


if __name__ == "__main__":
    command(main)
