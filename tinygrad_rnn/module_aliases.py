"""Modules under another name: the short name ``import viz``, and what is elsewhere than it was.

The pictures live in `tinygrad_rnn.viz`, which no other package and no file of the user's can stand before. `enter` is
called by what stands under the short name: ``short_name/viz.py`` in a wheel, ``viz/__init__.py`` in a checkout.
Modules that documents named and that have moved are found under their former name for one version, with a warning.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from .source_line import warn

SHORT, LONG = "viz", "tinygrad_rnn.viz"
#: Former name and present one, below `tinygrad_rnn`.
MOVED = {
    "backward": "reverse_walk",
    "check.kinks": "kinks_nearby",
    "check.recorded": "recorded_tensors",
    "check.rounding_noise": "rounding_noise",
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
        warn(f"{spec.name} is now {self.full_name(spec.name)}", DeprecationWarning)
        return super().create_module(spec)


class _Beside(MetaPathFinder):
    """Finds `tinygrad_rnn.viz` where its folder lies beside the engine's, and nothing else that lies there."""

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: Any = None) -> ModuleSpec | None:
        if name != LONG:
            return None
        folder = Path(__file__).parents[1] / SHORT
        return spec_from_file_location(name, folder / "__init__.py", submodule_search_locations=[str(folder)])


class _Watch(MetaPathFinder):
    """Finds nothing; says so when ``import viz`` will give something else than our pictures."""

    def find_spec(self, name: str, _path: Sequence[str] | None = None, _target: Any = None) -> ModuleSpec | None:
        if name == SHORT:
            spec = PathFinder.find_spec(SHORT)
            if spec is not None:
                _warn_if_not_ours(spec.origin)
        return None


def find_modules() -> None:
    """Let moved modules be found, and `tinygrad_rnn.viz` in a checkout, where its folder lies beside the engine's.

    From here on, and if it was before, another ``viz`` that is imported is called what it is.
    """
    sys.meta_path.append(_Moved())
    if not (Path(__file__).parent / SHORT).is_dir():
        sys.meta_path.append(_Beside())
    sys.meta_path.insert(0, _Watch())
    if SHORT in sys.modules:
        _warn_if_not_ours(getattr(sys.modules[SHORT], "__file__", None))


def enter() -> None:
    """Let ``viz`` be `tinygrad_rnn.viz` from here on."""
    if not any(isinstance(finder, _Short) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Short())
    sys.modules[SHORT] = import_module(LONG)


def _warn_if_not_ours(origin: str | None) -> None:
    """Say so if a file that is imported as ``viz`` is not the one beside us, which is ours."""
    in_wheel = (Path(__file__).parent / SHORT).is_dir()
    ours = Path(__file__).parents[1] / (f"{SHORT}.py" if in_wheel else f"{SHORT}/__init__.py")
    if origin is None or not ours.exists() or not ours.samefile(origin):
        given = f"`import viz` gives {origin or 'another module'} here, not tinygrad_rnn's pictures"
        warn(f"{given}; use `from tinygrad_rnn import viz` or tg.viz")
