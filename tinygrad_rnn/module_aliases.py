"""Modules under another name: the short name ``import viz``, and what is elsewhere than it was.

The pictures live in `tinygrad_rnn.viz`, which no other package and no file of the user's can stand before. `enter` is
called by what stands under the short name: ``short_name/viz.py`` in a wheel, ``viz/__init__.py`` in a checkout.
Modules that documents named and that have moved are found under their former name for one version, with a warning.
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
#: Former name and present one, below `tinygrad_rnn`.
MOVED = {
    "backward": "reverse_walk",
    "checkpoint": "character_model.checkpoint",
    "language": "character_model.model",
    "lr_scheduler": "optim.lr_scheduler",
    "nn.rnn_utils": "nn.utils.rnn",
    "patterns": "sequence_patterns",
    "swa_utils": "optim.swa_utils",
    "tasks": "synthetic_tasks",
    "text": "character_model.text",
    "training": "character_model.training",
    "viz.derivation": "viz.equations",
}


class _Alias(MetaPathFinder, Loader):
    """Finds a module under another name: the same one, not a second copy."""

    def full_name(self, name: str) -> str | None:
        """The module's real name; None if the name is not an alias."""
        raise NotImplementedError

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if self.full_name(name) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self.full_name(spec.name) or "")
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__  # the import system has just replaced it by that of the short name
        if spec is not None:
            module.__spec__ = spec.loader_state


class _Short(_Alias):
    """``viz.debugger`` is `tinygrad_rnn.viz.debugger`."""

    def full_name(self, name: str) -> str | None:
        return LONG + name.removeprefix(SHORT) if name.startswith(f"{SHORT}.") else None


class _Moved(_Alias):
    """The former names; asked last, so that it hides nothing."""

    def full_name(self, name: str) -> str | None:
        package, _, former = name.partition(".")
        return f"{package}.{MOVED[former]}" if package == "tinygrad_rnn" and former in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        warnings.warn(f"{spec.name} is now {self.full_name(spec.name)}", DeprecationWarning, stacklevel=6)
        return super().create_module(spec)


class _Beside(MetaPathFinder):
    """Finds `tinygrad_rnn.viz` where its folder lies beside the engine's, and nothing else that lies there."""

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: Any = None) -> ModuleSpec | None:
        if name != LONG:
            return None
        folder = Path(__file__).parents[1] / SHORT
        return spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])


def find_modules() -> None:
    """Let moved modules be found, and `tinygrad_rnn.viz` in a checkout, where its folder lies beside the engine's."""
    sys.meta_path.append(_Moved())
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
