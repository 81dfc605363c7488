"""The frame of the files of networks with mistakes: their losses, and the gradients of their passes by hand."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygrad_rnn as tg


class Network(NamedTuple):
    """Leaves, data, the loss as a program, and the pass by hand: functions and classes, of which the last is called."""

    params: dict[str, Any]
    data: dict[str, Any]
    forward: Callable[..., Any]
    hand: list[Any]


class Networks(dict[str, Network]):
    """The networks of one file, by name."""

    def loss_of(self, style):
        """The network's loss, from fresh leaves."""
        network = self[style]
        return network.forward({name: value.copy() for name, value in network.params.items()}, **network.data)[0]

    def gradients(self, style, old=(), new=()):
        """The gradients by hand, by name; with ``old`` and ``new``, those of the changed text (several: tuples)."""
        network = self[style]
        source = "\n\n".join(textwrap.dedent(inspect.getsource(each)) for each in network.hand)
        for before, after in [(old, new)] if isinstance(old, str) else zip(old, new, strict=True):
            if source.count(before) != 1:
                raise ValueError(f"{style}: {source.count(before)} places hold {before!r}")
            source = source.replace(before, after)
        namespace = {"np": np, "sigmoid": sigmoid}
        exec(compile(source, f"<{style}>", "exec"), namespace)
        hand = namespace[network.hand[-1].__name__]
        return hand({name: value.copy() for name, value in network.params.items()}, **network.data)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def leaves_of(p):
    return {k: tg.tensor(v, requires_grad=True, name=k) for k, v in p.items()}


def const(a):
    return tg.tensor(np.asarray(a, dtype=np.float64))
