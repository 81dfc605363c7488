"""The tensors that a loss was computed from, and whether they still are what they were."""

from __future__ import annotations

from .errors import MutationError
from .recorded_value import made_from
from .tensors import Tensor


def recorded(*outputs: Tensor) -> dict[int, Tensor]:
    """Every tensor that the outputs were computed from, and they, by serial number."""
    return {x.serial: x for x in made_from(outputs)}


def refuse_written(loss: Tensor, call: str) -> None:
    """Raise `MutationError` if one was written in place, as by an optimizer's step, after it was used.

    The forward pass is repeated from the leaves, so all of them have to be as they were, also those that no derivative
    needs. ``call`` is what is to be done before that.
    """
    for node in recorded(loss).values():
        for x in node.operands:
            if isinstance(x, Tensor) and x._memory is not None and x._memory.written > node.serial:
                assert node.op is not None
                raise MutationError(
                    f"{node.op.name} (at {node.site}) used {x._described()} as it was before it was written in place "
                    f"at {x._memory.site}; {call} before that, or compute the loss again"
                )
