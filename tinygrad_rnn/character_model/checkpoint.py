"""Checkpoints: one safetensors file, written whole or not at all, believed only after a look at every part of it."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import numpy as np

from ..arguments import answering
from ..errors import DataError, GraphError, TinygradError
from ..files import PathLike, as_path, write_atomically
from ..operation_errors import short
from ..optional_packages import needed
from ..saving import checksum, unreadable
from .model import CharModel
from .text import Vocabulary
from .training import CURE, Settings, Trainer

with needed("a checkpoint", "save"):
    import safetensors
    import safetensors.numpy

FORMAT = "tinygrad_rnn.checkpoint/2"
#: version 0.1.0 wrote no checksum
OLD_FORMAT = "tinygrad_rnn.checkpoint/1"


def save(trainer: Trainer, path: PathLike) -> None:
    """Write everything ``trainer`` needs to go on. Equal trainers give equal bytes.

    Raises `GraphError`, and leaves the old file, if a number in it is no longer finite.
    """
    arrays = trainer.arrays()
    if spoilt := _not_finite(arrays):
        raise GraphError(f"after step {trainer.step} {spoilt} is no longer finite, and was not saved; {CURE}")
    facts = {"format": FORMAT, **trainer.facts()}
    facts["sha256"] = checksum(facts, arrays)
    metadata = {"tinygrad_rnn": json.dumps(facts)}  # several keys have no fixed order
    write_atomically(path, safetensors.numpy.save(arrays, metadata))


def load(path: PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and facts of a checkpoint, checked: format, settings, vocabulary, and the shape of every weight."""
    file = as_path(path)
    if not file.is_file():
        raise DataError(f"there is no checkpoint {file}")
    try:
        with safetensors.safe_open(str(file), framework="numpy") as content:
            facts = json.loads((content.metadata() or {}).get("tinygrad_rnn", "{}"))
            if facts.get("format") not in (FORMAT, OLD_FORMAT):
                raise DataError(f"{file} is a safetensors file, but not a checkpoint of this program ({FORMAT})")
            if facts["settings"].keys() != {each.name for each in fields(Settings)}:
                raise DataError(
                    f"{file} is damaged, or of another version: its settings have other names than this version's"
                )
            settings, vocabulary = Settings(**facts["settings"]), Vocabulary(facts["characters"])
            expected = {f"model.{name}": shape for name, shape in settings.parameter_shapes(len(vocabulary)).items()}
            slices = {name: content.get_slice(name) for name in content.keys()}  # noqa: SIM118
            weights = {name: tuple(part.get_shape()) for name, part in slices.items() if name.startswith("model.")}
            kinds = {part.get_dtype() for name, part in slices.items() if name.startswith("model.")}
            if weights != expected or kinds != {"F32"}:
                raise DataError(f"{file} is damaged: its weights do not fit its settings")
            arrays = {name: content.get_tensor(name) for name in slices}
        found = facts.pop("sha256", None)
        if facts["format"] == FORMAT and found != checksum(facts, arrays):
            raise DataError(f"{file} is damaged: its checksum does not fit its content; use an older checkpoint")
        if spoilt := _not_finite(arrays):
            raise DataError(f"{file} is damaged: {short(spoilt)} is not finite")
        if type(facts["step"]) is not int or not isinstance(facts["text_sha256"], str) or facts["step"] < 0:
            raise DataError(f"{file} is damaged: it does not say where training stood")
        return arrays, {**facts, "settings": settings, "vocabulary": vocabulary}
    except TinygradError:
        raise
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"{file} is not a readable checkpoint: {unreadable(error)}") from None
    except Exception as error:  # whatever a hostile file makes json, the settings or the shapes trip over
        raise DataError(f"{file} is damaged: {type(error).__name__} {short(str(error), 120)}") from None


def _not_finite(arrays: dict[str, Any]) -> str | None:
    return next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)


def load_model(path: PathLike) -> tuple[CharModel, Vocabulary]:
    """The model of a checkpoint, ready to sample from."""
    arrays, facts = load(path)
    s: Settings = facts["settings"]
    model = CharModel(len(facts["vocabulary"]), s.cell, s.hidden, s.layers, s.embedding, s.dropout)
    model.load_state_dict({k.removeprefix("model."): v for k, v in arrays.items() if k.startswith("model.")})
    return model, facts["vocabulary"]


def resume(path: PathLike, text: str) -> Trainer:
    """A trainer that goes on where the checkpoint was written, on the same text."""
    arrays, facts = load(path)
    trainer = Trainer(text, facts["settings"], facts["vocabulary"])
    try:
        trainer.restore(arrays, facts)
    except TinygradError:
        raise
    except Exception as error:
        raise DataError(f"{path} is damaged: {type(error).__name__} {short(str(error), 120)}") from None
    return trainer


answering(globals())
