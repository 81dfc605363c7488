"""The topics of the page, read from topics.toml: what is said, and which program shows it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path


@dataclass(frozen=True)
class Topic:
    """A section of the page. Everything it shows comes out of its program, run anew when that changes."""

    part: str
    title: str
    program: str  #: below ``examples``; "" where there is nothing to show
    text: tuple[str, ...]  #: paragraphs
    captions: Mapping[str, str] = field(default_factory=dict)  #: of its figures, by the names of their files
    formulas: tuple[str, ...] = ()  #: as LaTeX
    walk: str = ""  #: a debugger's page that this or another topic's program writes, and the step to open it at
    points: tuple[str, ...] = ()  #: a list below the paragraphs

    @property
    def name(self) -> str:
        """Its name on the command line and in the page's addresses."""
        return Path(self.program).stem or re.sub(r"\W+", "_", self.title.lower())


def _paragraphs(text: str) -> tuple[str, ...]:
    """The paragraphs of a text, each on one line."""
    return tuple(" ".join(each.split()) for each in text.split("\n\n") if each.strip())


def _read() -> Iterator[Topic]:
    for each in tomllib.loads(files(__package__).joinpath("topics.toml").read_text("utf-8"))["topic"]:
        yield Topic(
            part=each["part"],
            title=each["title"],
            program=each.get("program", ""),
            text=_paragraphs(each.get("text", "")),
            captions={name: " ".join(text.split()) for name, text in each.get("captions", {}).items()},
            formulas=tuple(each.get("formulas", ())),
            walk=each.get("walk", ""),
            points=_paragraphs(each.get("points", "")),
        )


TOPICS = tuple(_read())
