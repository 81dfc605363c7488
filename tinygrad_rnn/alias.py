"""Where `tinygrad_rnn.viz` is, and its short name, ``import viz``, as long as nothing else is called viz.

The pictures live in `tinygrad_rnn.viz`, which no other package and no file of the user's can stand before. `enter` is
called by what stands under the short name: ``short_name/viz.py`` in a wheel, ``viz/__init__.py`` in a checkout.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

SHORT, LONG = "viz", "tinygrad_rnn.viz"


class _Short(MetaPathFinder, Loader):
    """Finds ``viz.debugger`` as the module `tinygrad_rnn.viz.debugger`: the same one, not a second copy."""

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.startswith(f"{SHORT}.") else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(LONG + spec.name.removeprefix(SHORT))
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__  # the import system has just replaced it by that of the short name
        if spec is not None:
            module.__spec__ = spec.loader_state


class _Beside(MetaPathFinder):
    """Finds `tinygrad_rnn.viz` where its folder lies beside the engine's, and nothing else that lies there."""

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: Any = None) -> ModuleSpec | None:
        if name != LONG:
            return None
        folder = Path(__file__).parents[1] / SHORT
        return spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])


def find_pictures() -> None:
    """Let `tinygrad_rnn.viz` be found in a checkout too; in a wheel it lies where modules are looked for."""
    if not (Path(__file__).parent / SHORT).is_dir():
        sys.meta_path.append(_Beside())


def enter() -> None:
    """Let ``viz`` be `tinygrad_rnn.viz` from here on."""
    if not any(isinstance(finder, _Short) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Short())
    sys.modules[SHORT] = import_module(LONG)


def warn_if_shadowed() -> None:
    """Say so when the program has imported another ``viz`` than ours."""
    other = sys.modules.get(SHORT)
    if other is None or any(isinstance(finder, _Short) for finder in sys.meta_path):
        return
    warnings.warn(
        f"`import viz` gives {getattr(other, '__file__', None) or 'another module'} here, not tinygrad_rnn's pictures; "
        "use `from tinygrad_rnn import viz` or tg.viz",
        stacklevel=3,
    )
