"""How is it pronounced? The encoder and decoder GRUs of g2p-en 2.1.0 (Apache 2.0), opened letter by letter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import original
from packages import bars, command, fetched, found, numpy_gru, shown

import tinygrad_rnn as tg
from tinygrad_rnn.interchange import load_weights

LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
PHONEMES = """
<pad> <unk> <s> </s> AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 EH2
ER0 ER1 ER2 EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R S SH T TH UH0 UH1 UH2
UW UW0 UW1 UW2 V W Y Z ZH
""".split()  # noqa: SIM905


def gru(arrays: Any, which: str) -> tg.nn.GRU:
    """The encoder or the decoder."""
    layer = tg.nn.GRU(256, 256)
    names = {"weight_ih": "w_ih", "weight_hh": "w_hh", "bias_ih": "b_ih", "bias_hh": "b_hh"}
    load_weights(layer, {name: arrays[f"{which}_{theirs}"] for name, theirs in names.items()}, "torch.gru_cell")
    return layer


def main(out: Path = Path("out"), word: str = "backprop") -> float:
    """Spell it out; returns how far the encoder's states are from g2p_en's or NumPy's."""
    with np.load(found(fetched("g2p-en==2.1.0"), "checkpoint20.npz"), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    encoder, decoder = gru(arrays, "enc"), gru(arrays, "dec")
    letters = [*word, "</s>"]
    x = tg.tensor(arrays["enc_emb"][[LETTERS.index(each) for each in letters]], requires_grad=True)
    with tg.scope("encoder"):  # both GRUs are the layer l0 of their own network: the picture tells them apart by this
        states, h = encoder(x.expand_dims(1))
    theirs = [arrays[f"enc_{name}"] for name in ("w_ih", "w_hh", "b_ih", "b_hh")]
    reading = lambda: numpy_gru(x.numpy(), np.zeros(256, np.float32), *theirs)  # noqa: E731
    who, known = original.asked(original.g2p, (x.numpy(),), reading)
    apart = np.abs(states.numpy()[:, 0] - known).max()
    print(f"the encoder's states are {who} within {apart:.1e}")
    said, symbol, surest = [], "<s>", []
    for _ in tg.steps(20):
        given = tg.tensor(arrays["dec_emb"][[PHONEMES.index(symbol)]])
        with tg.scope("decoder"):
            output, h = decoder.step(given, h)
        scores = output @ tg.tensor(arrays["fc_w"]).T + tg.tensor(arrays["fc_b"])
        symbol = PHONEMES[int(scores.numpy().argmax())]
        surest.append(scores.max())
        if symbol == "</s>":
            break
        said.append(symbol)
    print(f"{word} is pronounced {' '.join(said)}")
    for phoneme, score in zip(said[:3], surest):
        x.grad = None
        score.backward(retain_graph=True)
        assert x.grad is not None
        print(f"{phoneme} is heard in\n{bars(letters, x.grad.numpy())}")
    shown(surest[0], out / "g2p.html", f"g2p-en: {word}")
    return float(apart)


if __name__ == "__main__":
    command(main)
