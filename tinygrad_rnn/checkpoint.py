"""Checkpoints: one safetensors file, written whole or not at all, believed only after a look at every part of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy

from .errors import DataError, TinygradError
from .explain import short
from .files import write_atomically
from .language import CharModel
from .text import Vocabulary
from .training import Settings, Trainer

FORMAT = "tinygrad_rnn.checkpoint/1"


def save(trainer: Trainer, path: str | Path) -> None:
    """Write everything ``trainer`` needs to go on."""
    metadata = {"format": FORMAT, "facts": json.dumps(trainer.facts())}
    write_atomically(path, safetensors.numpy.save(trainer.arrays(), metadata))


def load(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and facts of a checkpoint, checked: format, settings, vocabulary, and the shape of every weight."""
    file = Path(path)
    if not file.is_file():
        raise DataError(f"there is no checkpoint {file}")
    try:
        with safetensors.safe_open(str(file), framework="numpy") as content:
            metadata = content.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise DataError(f"{file} is a safetensors file, but not a checkpoint of this program ({FORMAT})")
            facts = json.loads(metadata["facts"])
            settings, vocabulary = Settings(**facts["settings"]), Vocabulary(facts["characters"])
            expected = settings.parameter_shapes(len(vocabulary))
            found = {name: tuple(content.get_slice(name).get_shape()) for name in list(content.keys())}
            weights = {k.removeprefix("model."): shape for k, shape in found.items() if k.startswith("model.")}
            if weights != expected:
                raise DataError(f"{file} is damaged: its weights do not fit its settings")
            arrays = {name: content.get_tensor(name) for name in found}
        if any(array.dtype.kind not in "fi" for array in arrays.values()):
            raise DataError(f"{file} is damaged: it holds values that are not numbers")
        if not isinstance(facts["step"], int) or not isinstance(facts["text_sha256"], str) or facts["step"] < 0:
            raise DataError(f"{file} is damaged: it does not say where training stood")
        return arrays, {**facts, "settings": settings, "vocabulary": vocabulary}
    except TinygradError:
        raise
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"{file} is not a readable checkpoint: {short(str(error), 120)}") from None
    except Exception as error:  # whatever a hostile file makes json, the settings or the shapes trip over
        raise DataError(f"{file} is damaged: {type(error).__name__} {short(str(error), 120)}") from None


def load_model(path: str | Path) -> tuple[CharModel, Vocabulary]:
    """The model of a checkpoint, ready to sample from."""
    arrays, facts = load(path)
    s: Settings = facts["settings"]
    model = CharModel(len(facts["vocabulary"]), s.cell, s.hidden, s.layers, s.embedding, s.dropout)
    model.load_state_dict({k.removeprefix("model."): v for k, v in arrays.items() if k.startswith("model.")})
    return model, facts["vocabulary"]


def resume(path: str | Path, text: str) -> Trainer:
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
