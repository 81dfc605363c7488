"""The public names, each with its arguments: ``python tests/surface.py`` writes them into docs/surface.txt."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tinygrad_rnn as tg
import viz

LIST = Path(__file__).parents[1] / "docs" / "surface.txt"
MODULES = {
    "tg": tg, "viz": viz, "tg.nn": tg.nn, "tg.nn.functional": tg.nn.functional, "tg.nn.init": tg.nn.init,
    "tg.nn.utils": tg.nn.utils, "tg.nn.utils.rnn": tg.nn.utils.rnn, "tg.optim": tg.optim,
    "tg.lr_scheduler": tg.lr_scheduler, "tg.optim.swa_utils": tg.optim.swa_utils, "tg.data": tg.data,
}  # fmt: skip
CLASSES = {"tg.Tensor": tg.Tensor, "tg.Graph": tg.Graph, "tg.GraphBuilder": tg.GraphBuilder}


def names(module: Any) -> list[str]:
    """A module's public names: its ``__all__``, or what it defines itself."""
    own = getattr(module, "__all__", None)
    if own is not None:
        return sorted(own)
    made_here = lambda x: getattr(x, "__module__", "").startswith(module.__name__)  # noqa: E731
    return sorted(n for n, x in vars(module).items() if not n.startswith("_") and callable(x) and made_here(x))


def public() -> Iterator[tuple[str, Any]]:
    """(name, thing) for every public name and every method of the classes that users hold."""
    for prefix, module in MODULES.items():
        for name in names(module):
            yield f"{prefix}.{name}", getattr(module, name)
    for prefix, kind in CLASSES.items():
        for name in sorted(dir(kind)):
            if not name.startswith("_"):
                yield f"{prefix}.{name}", inspect.getattr_static(kind, name)


def line(name: str, thing: Any) -> str:
    """A name with its arguments and their defaults."""
    if isinstance(thing, (classmethod, staticmethod)):
        thing = thing.__func__
    if not callable(thing) or inspect.ismodule(thing):
        return name
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (ValueError, TypeError):
        return name
    bare = [p.replace(annotation=p.empty, default=p.default if _plain(p.default) else ...) for p in parameters]
    return f"{name}{inspect.Signature(bare)}"


def _plain(value: Any) -> bool:
    return value is inspect.Parameter.empty or isinstance(value, (int, float, str, tuple, type(None)))


def lines() -> list[str]:
    """The whole list."""
    return [line(name, thing) for name, thing in public()]


if __name__ == "__main__":
    LIST.write_text("\n".join(lines()) + "\n", encoding="utf-8")
