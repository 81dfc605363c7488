"""Recurrent layers kept whole, where ONNX has a node that computes the same; where it has none, they are loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....compiler.tracing import Traced
from ....functional import concat, stack
from ....nn.functional import dropout
from ....nn.recurrent import GRU, LSTM, RNN
from ....tensors import Tensor, as_tensor
from ...dialects.record import GATES
from ...dialects.table import DIALECTS
from ..recorder import ExportTracer, Recording, marker

#: operands: the sequence, then what of lengths and first states there is; settings: `layer`'s
layer = marker("layer", "layer")

#: our activations in ONNX: name, alpha, beta
_ACTIVATIONS: dict[str, tuple[str, float | None, float | None]] = {
    "tanh": ("Tanh", None, None),
    "relu": ("Relu", None, None),
    "sigmoid": ("Sigmoid", None, None),
    "hard_sigmoid": ("HardSigmoid", 0.2, 0.5),
    "hard_sigmoid_6": ("HardSigmoid", 1 / 6, 0.5),
    "softsign": ("Softsign", None, None),
    "softplus": ("Softplus", None, None),
    "elu": ("Elu", 1.0, None),
    "leaky_relu": ("LeakyRelu", 0.01, None),
    "linear": ("Affine", 1.0, 0.0),
}


class OnnxRecorder(ExportTracer):
    """The recorder that keeps recurrent layers."""

    def layers(self, module: Any, x: Tensor, initial: Any, lengths: Any) -> tuple[Tensor, tuple[Tensor, ...]] | None:
        """Each layer, both directions of it, as one node, where there is one."""
        if not fits(module, initial, lengths):
            return None
        time, batch = x.shape[:2]
        count, size, k = module.num_directions, module.hidden_size, len(module.roles)
        given = initial is not None or module.learned_state
        finals: list[list[Tensor]] = []
        for at in range(module.num_layers):
            if at and module.dropout:
                x = dropout(x, module.dropout, module.training)
            suffixes, operands = module._suffixes(at), [x]
            if lengths is not None:
                operands.append(as_tensor(lengths).astype(np.int32))
            if given:
                states = [
                    module._start(suffix, initial, at * count + d, x.shape[1]) for d, suffix in enumerate(suffixes)
                ]
                operands += [stack([s[j].broadcast_to((batch, size)) for s in states]) for j in range(k)]
            settings = {
                "kind": _kind(module),
                "lengths": lengths is not None,
                "states": given,
                "hidden": size,
                "at": at,
                "weight": module._weights(suffixes[0])["weight_ih"],
                "arrays": arrays(module, suffixes),
                **attributes(module),
            }
            whole = self.node(layer, operands, settings, dtype=x.dtype, differentiable=True)
            shapes = [((time, count, batch, size), x.dtype), *[((count, batch, size), x.dtype)] * k]
            made, *last = self.parts(whole, shapes)
            x = made.permute(0, 2, 1, 3).reshape(time, batch, count * size)
            finals.append(last)
        return x, tuple(concat([last[j] for last in finals]) for j in range(k))


class OnnxRecording(Recording):
    """A function recorded for a file."""

    recorder = OnnxRecorder


def _kind(module: Any) -> str:
    return next(name for name, kind in (("RNN", RNN), ("LSTM", LSTM), ("GRU", GRU)) if isinstance(module, kind))


def _chosen(module: Any) -> tuple[Any, ...]:
    return (module.nonlinearity,) if isinstance(module, RNN) else module.settings["activations"]


def fits(module: Any, initial: Any, lengths: Any) -> bool:
    """Whether a node of ONNX computes the same as the layer."""
    settings = module.settings
    if not exactly(module):
        return False
    if not all(isinstance(each, str) and each in _ACTIVATIONS for each in _chosen(module)):
        return False
    if settings.get("leak", 1.0) != 1 or module.proj_size or getattr(module, "peepholes", None) == "full":
        return False
    if any(isinstance(w, Traced) for suffix in module._suffixes(0) for w in module._weights(suffix).values()):
        return False
    if lengths is None:
        return True
    # of a row of length 0 a node's state is 0 or the first state, depending on who runs it
    clear = module.empty is None or (initial is None and not module.learned_state)
    if lengths.ndim == 2:  # a mask, which may have holes
        return False
    return module.past_end == "zeros" and clear


def exactly(module: Any) -> bool:
    """Whether what a node has as a setting, of single precision, is as it is here."""
    if module._weights("l0")["weight_ih"].dtype != np.float64:
        return True
    numbers = [x for each in _chosen(module) if isinstance(each, str) for x in _ACTIVATIONS.get(each, ())[1:]]
    return all(x is None or float(np.float32(x)) == x for x in [*numbers, module.settings.get("clip")])


def attributes(module: Any) -> dict[str, Any]:
    """The settings of a node."""
    found: dict[str, Any] = {}
    own = [_ACTIVATIONS[each] for each in _chosen(module)]
    chosen = own * module.num_directions
    usual = ("Tanh",) if isinstance(module, RNN) else ("Sigmoid", "Tanh", "Tanh")
    if tuple(name for name, _, _ in own) != usual[: len(own)]:
        found["activations"] = [name for name, _, _ in chosen]
        found["activation_alpha"] = [alpha for _, alpha, _ in chosen if alpha is not None]
        found["activation_beta"] = [beta for _, _, beta in chosen if beta is not None]
    if module.settings.get("clip") is not None:
        found["clip"] = float(module.settings["clip"])
    if module.settings.get("coupled"):
        found["input_forget"] = 1
    if isinstance(module, GRU):
        found["linear_before_reset"] = int(module.settings["reset"] == "after")
    return {"attributes": {key: value for key, value in found.items() if value != []}}


def arrays(module: Any, suffixes: list[str]) -> dict[str, Any]:
    """W, R, B and P of a layer, by the record of ONNX's dialect."""
    cell = _kind(module).lower()
    return written(
        cell,
        module.hidden_size,
        [{name: w._array for name, w in module._weights(suffix).items() if w is not None} for suffix in suffixes],
    )


def written(cell: str, size: int, weights: list[dict[str, Any]]) -> dict[str, Any]:
    """Weights, or gradients of them, of one layer: a dict a direction under our names, in ONNX's arrays."""
    atoms: dict[Any, Any] = {}
    for d, own in enumerate(weights):
        for k, gate in enumerate(GATES[cell]):
            rows = slice(k * size, (k + 1) * size)
            for kind, name in (("x", "weight_ih"), ("h", "weight_hh"), ("bx", "bias_ih"), ("bh", "bias_hh")):
                if name in own:
                    atoms[0, d, (kind, gate)] = own[name][rows]
            if f"weight_c{gate}" in own:
                atoms[0, d, ("p", gate)] = own[f"weight_c{gate}"]
    sizes = {"h": size, "j": size, "i": weights[0]["weight_ih"].shape[1], "d": len(weights), "l": 1}
    options = [name for name, key in (("bias", "bias_ih"), ("p", "weight_ci")) if key in weights[0]]
    return {part.name: part.write(atoms, sizes) for part in DIALECTS[f"onnx.{cell}"].parts_for(options)}
