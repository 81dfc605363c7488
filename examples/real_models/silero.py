"""Does somebody speak? silero-vad 6.2.3 (MIT): an ONNX file with convolutions and an LSTM, opened chunk by chunk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from packages import command, fetched, found, shown

import tinygrad_rnn as tg


def main(out: Path = Path("out")) -> float:
    """Hear noise, then a tone; returns how far the probabilities are from onnxruntime's."""
    try:
        import onnxruntime
    except ImportError:
        raise tg.DataError("silero-vad is compared with onnxruntime's numbers; pip install onnxruntime") from None
    from tinygrad_rnn.interchange import from_onnx

    path = found(fetched("silero-vad==6.2.3"), "silero_vad_16k_sequence.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    values = {}
    for given in session.get_inputs():
        shape = [n if isinstance(n, int) else 4 for n in given.shape]
        print(f"it takes {given.name} {given.shape}")
        values[given.name] = (rng.normal(size=shape) * 0.1 * ("h" not in given.name)).astype(np.float32)
    theirs = session.run(None, values)
    ours = from_onnx(path)(*values.values())
    ours = ours if isinstance(ours, tuple) else (ours,)
    apart = max(float(np.abs(a.numpy() - b).max()) for a, b in zip(ours, theirs, strict=True))
    print(f"everything it puts out is onnxruntime's within {apart:.1e}")
    shown(ours[0].sum(), out / "silero.html", "silero-vad: a sequence")
    return apart


if __name__ == "__main__":
    command(main)
