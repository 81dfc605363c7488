"""What a compiled function finds outside is watched however it gets there, and is not kept alive by it."""

from __future__ import annotations

import copy
import cProfile
import functools
import gc
import weakref
from collections import ChainMap, UserDict, UserList, deque
from types import SimpleNamespace

import pytest

import tinygrad_rnn as tg


class Holder:
    def __init__(self, scale=1.0):
        self.scale = scale

    def itself(self):
        return self

    @property
    def doubled(self):
        return self.scale * 2


class Slotted:
    __slots__ = ("scale",)

    def __init__(self, scale=1.0):
        self.scale = scale


def product(x, holders):
    for holder in holders:
        x = x * holder.scale
    return x


def through_a_default(h, read=lambda h: h.scale):
    def fn(x, holder=h):
        return x * read(holder)

    return fn


def through_a_closure_made_inside(h):
    def fn(x):
        mine = h

        def inner():
            return x * mine.scale

        return inner()

    return fn


def through_an_alias(h):
    def fn(x):
        mine = h
        other = mine
        return x * other.scale

    return fn


def chosen(h):
    def fn(x):
        mine = h
        return x * 2 if mine.scale > 1 else x * 3

    return fn


WAYS = {
    "an alias": through_an_alias,
    "a condition": chosen,
    "a loop over a list": lambda h, hs=None: lambda x, hs=[h]: product(x, hs),
    "a tuple taken apart": lambda h: lambda x, t=(h,): product(x, t),
    "an index": lambda h: lambda x, hs=[h]: x * hs[0].scale,
    "a comprehension": lambda h: lambda x, hs=[h]: x * sum(each.scale for each in hs),
    "a dict in a dict": lambda h: lambda x, d={"a": {"b": h}}: x * d["a"]["b"].scale,
    "a set": lambda h: lambda x, s={h}: product(x, s),
    "a deque": lambda h: lambda x, d=deque([h]): x * d[-1].scale,
    "a call": lambda h: lambda x: x * h.itself().scale,
    "getattr": lambda h: lambda x: x * getattr(h, "sca" + "le"),
    "vars": lambda h: lambda x: x * vars(h)["scale"],
    "a property": lambda h: lambda x: x * h.doubled,
    "functools.partial": lambda h: functools.partial(lambda h, x: x * h.scale, h),
    "a bound method": lambda h: lambda x, get=h.itself: x * get().scale,
    "a default": through_a_default,
    "a closure made inside": through_a_closure_made_inside,
    "an attribute of an attribute": lambda h: through_a_default(Holder(h), lambda o: o.itself().scale.scale),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_attribute_that_changes_is_followed(way):
    holder = Holder()
    fn = WAYS[way](holder)
    compiled = tg.compile(fn)
    for scale in (1.0, 3.0, 3.0, 0.5):
        holder.scale = scale
        assert compiled(tg.ones(1)).tolist() == fn(tg.ones(1)).tolist()


@pytest.mark.parametrize("way", ["an alias", "a loop over a list", "getattr"])
def test_an_attribute_in_slots_is_followed(way):
    holder = Slotted()
    fn = WAYS[way](holder)
    compiled = tg.compile(fn)
    for scale in (1.0, 3.0):
        holder.scale = scale
        assert compiled(tg.ones(1)).tolist() == fn(tg.ones(1)).tolist()


def test_what_is_not_read_may_change_without_recording_anew():
    class Trainer:
        def __init__(self):
            self.w, self.losses, self.rounds, self.step = tg.nn.Parameter([1.0]), [], 0, 0
            self.optimizer = tg.optim.SGD([self.w], lr=0.1)

        @tg.compile
        def train(self, x):
            mine = self
            loss = (mine.w * x).sum()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss

    trainer = Trainer()
    for _ in range(3):
        trainer.losses.append(trainer.train(tg.ones(1)))
        trainer.rounds += 1
        trainer.step += 1
    assert Trainer.train.recordings == 1


def test_objects_made_inside_are_nobodys_surroundings():
    def scaled(state):
        return state.scale * 2

    def fn(x):
        state = Holder(x)
        state.scale = scaled(state)
        return scaled(state)

    compiled = tg.compile(fn)
    for _ in range(3):
        assert compiled(tg.ones(1)).tolist() == [4.0]
    assert compiled.recordings == 1


def test_a_function_recorded_under_a_profiler():
    holder, profile = Holder(), cProfile.Profile()
    compiled = tg.compile(lambda x: x * holder.scale)
    profile.enable()
    try:
        first = compiled(tg.ones(1)).tolist()
    finally:
        profile.disable()
    holder.scale = 3.0
    assert [first, compiled(tg.ones(1)).tolist()] == [[1.0], [3.0]]


COUNT = 0


def test_names_assigned_in_what_is_called_are_refused():
    total = 0.0

    def counted(x):
        global COUNT
        COUNT += 1
        return x

    def added(x):
        def inner():
            nonlocal total
            total = total + 1.0

        inner()
        return x

    for fn, name in ((counted, "COUNT"), (added, "total")):
        with pytest.raises(tg.GraphError, match=rf"would assign {name}, .*test_compile_watching\.py:\d+"):
            tg.compile(lambda x, fn=fn: fn(x))(tg.ones(1))

    def within(x):
        many = 0

        def count():
            nonlocal many
            many += 1

        count()
        return x * many

    assert tg.compile(lambda x: within(x))(tg.ones(1)).tolist() == [1.0]


def test_classes_are_as_before_when_recording_ends():
    holder = Holder()
    tg.compile(lambda x: x * holder.scale)(tg.ones(1))
    assert "__getattribute__" not in vars(Holder)
    with pytest.raises(ZeroDivisionError):
        tg.compile(lambda x: x * holder.scale / (1 // 0))(tg.ones(1))
    assert "__getattribute__" not in vars(Holder)


# Objects that die -------------------------------------------------------------------------------------------


class Model(tg.nn.Module):
    def __init__(self):
        self.layer = tg.nn.Linear(2, 2)
        self.holder = Holder(self)  # a circle

    @tg.compile
    def loss(self, x):
        return self.layer(x).square().sum()


passed = tg.compile(lambda model, x: model.layer(x))


@pytest.mark.parametrize("use", [lambda m: m.loss(tg.ones(1, 2)), lambda m: passed(m, tg.ones(1, 2))])
def test_no_dead_instance_is_kept_alive(use):
    references = []
    for _ in range(3):
        model = Model()
        use(model)
        references.append(weakref.ref(model))
        del model
    gc.collect()
    assert [each() for each in references] == [None] * 3


def test_each_instance_has_its_programs_and_a_copy_has_its_own():
    model = Model()
    for other in (model, copy.deepcopy(model), copy.copy(model), Model(), model):
        for _ in range(2):
            assert float(other.loss(tg.ones(1, 2))) == pytest.approx(
                float(Model.loss._fn(other, tg.ones(1, 2))), rel=1e-5
            )
    assert "arena" in model.loss.explain()


HOLDERS = {
    "a namespace in a dict": ({"s": SimpleNamespace(a=1.0)}, lambda d: d["s"].a, lambda d: setattr(d["s"], "a", 2.0)),
    "UserDict": (UserDict(a=1.0), lambda d: d["a"], lambda d: d.__setitem__("a", 2.0)),
    "UserList": (UserList([1.0]), lambda d: d[0], lambda d: d.__setitem__(0, 2.0)),
    "ChainMap": (ChainMap({}, {"a": 1.0}), lambda d: d["a"], lambda d: d.maps[0].__setitem__("a", 2.0)),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_the_standard_librarys_holders_are_followed(name):
    holder, read, change = HOLDERS[name]
    holder = copy.deepcopy(holder)
    scaled = tg.compile(lambda x: x * read(holder))
    assert scaled(tg.ones(1)).item() == 1.0
    change(holder)
    assert scaled(tg.ones(1)).item() == 2.0
