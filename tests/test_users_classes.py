"""Objects and containers of users' classes: compiled functions ask them only what the function itself asks."""

from __future__ import annotations

import collections
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg


class Table:
    """Answers every attribute from a table of its own, and knows no other."""

    def __init__(self, **entries: Any) -> None:
        object.__setattr__(self, "entries", entries)

    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, "entries")[name]

    def __setattr__(self, name: str, value: Any) -> None:
        object.__getattribute__(self, "entries")[name] = value


class Shy:
    """Does not say of what class it is."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            raise RuntimeError("none of your business")
        return object.__getattribute__(self, name)


class AttrDict(dict[str, Any]):
    """The usual one: a missing attribute is a KeyError."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__  # type: ignore[assignment]


class Settings(dict[str, Any]):
    """With attributes beside the entries."""

    scale = 2.0


class Output(collections.OrderedDict[str, Any]):
    """As transformers' outputs: each entry is an attribute, too."""

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        object.__setattr__(self, name, value)


class Pair(collections.namedtuple("Pair", "a b")):
    """With a method."""

    def total(self) -> Any:
        return self.a + self.b


class Batch(list[Any]):
    """Takes its parts one by one."""

    def __init__(self, a: Any, b: Any) -> None:
        super().__init__([a, b])


@pytest.mark.parametrize("make", [Table, Shy, AttrDict])
def test_an_object_is_not_asked_for_its_class(make: Callable[..., Any]) -> None:
    x, held = tg.ones(2), make(rate=2.0)

    class Model(tg.nn.Module):
        def __init__(self) -> None:
            self.held = held
            self.layer = tg.nn.Linear(2, 2)

        def forward(self, x: Any) -> Any:
            return self.layer(x) * self.held.rate

    model = Model()
    compiled_model = tg.compile(model)
    closed = tg.compile(lambda x, among=(held,): (x * held.rate * among[0].rate, among))
    given = tg.compile(lambda x, held: x * held.rate)
    for rate in (2.0, 2.0, 5.0):
        held.rate = rate
        result, (returned,) = closed(x)
        assert result.tolist() == [rate * rate] * 2 and type(returned) is type(held)
        assert given(x, held).tolist() == [rate] * 2
        assert compiled_model(x).tolist() == model(x).tolist()
    assert closed.recordings == 2 and set(model.state_dict()) == {"layer.weight", "layer.bias"}


def test_attributes_read_past_a_class_are_followed() -> None:
    class Slotted:
        __slots__ = ("rate",)

    held = Slotted()
    held.rate = 2.0
    for fn in (
        lambda x: x * object.__getattribute__(held, "rate"),
        lambda x: x * Slotted.rate.__get__(held),  # type: ignore[attr-defined]
    ):
        compiled = tg.compile(fn)
        for rate in (2.0, 5.0):
            held.rate = rate
            assert compiled(tg.ones(1)).item() == rate


@pytest.mark.parametrize(
    "given",
    [
        lambda x: collections.OrderedDict(b=x, a=x * 2),
        lambda x: collections.defaultdict(list, a=x, b=x),
        lambda x: AttrDict(a=x, b=x),
        lambda x: Pair(x, x * 2),
        lambda x: Batch(x, x),
        lambda x: collections.Counter(a=3, b=4),
    ],
)
def test_containers_keep_their_class(given: Callable[[Any], Any]) -> None:
    def fn(value: Any) -> Any:
        if isinstance(value, Pair):
            return Pair(value.total(), value.a)
        if isinstance(value, Batch):
            return Batch(value[0] + value[1], value[1])
        total = value["a"] + (value.b if isinstance(value, AttrDict) else value["b"])
        if isinstance(value, collections.defaultdict):
            return collections.defaultdict(list, total=total)
        return type(value)(total=total)

    def plain(value: Any) -> Any:
        names, parts = (list(value), value.values()) if isinstance(value, dict) else (None, value)
        numbers = [x.tolist() if isinstance(x, tg.Tensor) else x for x in parts]
        return type(value), names, numbers, vars(type(value)).get("default_factory") and value.default_factory

    value, compiled = given(tg.ones(2)), tg.compile(fn)
    assert plain(compiled(value)) == plain(compiled(value)) == plain(fn(value))
    assert compiled.recordings == 1


def test_attributes_of_a_container_are_arguments_too() -> None:
    settings = Settings(a=1.0)
    compiled = tg.compile(lambda x, settings: x * settings.scale * settings["a"])
    x = tg.ones(1)
    assert compiled(x, settings).item() == 2.0
    settings.scale = 5.0
    assert compiled(x, settings).item() == 5.0
    settings.more = tg.ones(1)  # type: ignore[attr-defined]
    settings["a"] = 3.0
    assert compiled(x, settings).item() == 15.0


def test_a_result_whose_entries_are_attributes() -> None:
    def fn(x: Any) -> Any:
        made: Any = Output()
        made["loss"], made["states"] = (x * x).sum(), x * 2
        return made

    compiled = tg.compile(fn)
    found, many = compiled(tg.ones(2)), compiled.for_each(np.ones((3, 2), np.float32))
    assert type(found) is Output and found.loss.item() == 2.0 and found["states"] is found.states
    assert type(many) is Output and many.loss.tolist() == [2.0, 2.0, 2.0]


def test_items_of_a_dataset_keep_their_class() -> None:
    batch = tg.data.default_collate([Pair(1.0, 2), Pair(3.0, 4)])
    assert type(batch) is Pair and batch.a.tolist() == [1.0, 3.0]
    assert tg.data.default_collate([AttrDict(a=1), AttrDict(a=2)]).a.tolist() == [1, 2]
    with pytest.raises(tg.DTypeError, match=r"default_collate: Table is no tensor.*collate_fn"):
        tg.data.default_collate([Table(), Table()])
    with pytest.raises(tg.DTypeError, match="AttrDict is no number and no array of numbers"):
        tg.tensor(AttrDict())


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda c, x: ({"g": c["h"]}, x), "other keys"),
        (lambda c, x: ([c["h"]], x), "other keys"),
        (lambda c, x: (None, x), "other keys"),
        (lambda c, x: ({"h": None}, x), "returned None for a carry that is a tensor"),
        (lambda c, x: ({"h": (x, x)}, x), "returned a tuple for a carry that is a tensor"),
    ],
)
def test_a_carry_keeps_its_form(f: Callable[[Any, Any], Any], words: str) -> None:
    with pytest.raises(tg.ShapeError, match=words):
        tg.scan(f, {"h": tg.zeros(1)}, tg.ones(3, 1))


def test_a_metaclass_of_ones_own_does_not_stop_the_recording(tmp_path):
    """While its class was told to report, the class was read, which looked for a lock that was held already."""
    program = tmp_path / "program.py"
    program.write_text(
        "import tinygrad_rnn as tg\n"
        "class Meta(type): pass\n"
        "class Settings(metaclass=Meta): pass\n"
        "class Part: rate = 2.0\n"
        "Settings.part = Part()\n"
        "double = tg.compile(lambda x: x * Settings.part.rate)\n"
        "print(double(tg.ones(1)).item(), end=' ')\n"
        "Settings.part.rate = 3.0\n"
        "print(double(tg.ones(1)).item())\n"
    )
    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60)
    assert done.stdout == "2.0 3.0\n", done.stderr
