"""Gradients, hooks and graphs at the border of a compiled function: as in the plain one, or an error with the line."""

from __future__ import annotations

import copy

import pytest

import tinygrad_rnn as tg

WRAPS = [lambda fn: fn, tg.compile]


@pytest.mark.parametrize("wrap", WRAPS, ids=["eager", "compiled"])
def test_an_intermediate_that_is_returned_has_the_gradient_it_retained(wrap):
    def fn(x):
        h = x * 2
        h.retain_grad()
        (h * h).sum().backward()
        return {"h": [h]}

    x = tg.tensor([1.0, 2.0], requires_grad=True)
    assert wrap(fn)(x)["h"][0].grad.tolist() == [4.0, 8.0]
    assert x.grad.tolist() == [8.0, 16.0]


@pytest.mark.parametrize("wrap", WRAPS, ids=["eager", "compiled"])
@pytest.mark.parametrize("cut", [lambda x: x.detach(), lambda x: x.detach() * 1], ids=["detach", "result"])
def test_a_gradient_asked_of_what_was_cut_off_stays_there(wrap, cut):
    def fn(x):
        h = cut(x).requires_grad_()
        (h * h).sum().backward()
        return h

    x = tg.tensor([1.0], requires_grad=True)
    assert wrap(fn)(x).grad.tolist() == [2.0]
    assert x.grad is None


def test_a_result_whose_gradient_was_asked_is_a_leaf():
    x = tg.ones(1)
    h = (x * 3).requires_grad_()
    x.requires_grad_()  # too late for h
    assert h.is_leaf
    (h * h).sum().backward()
    assert h.grad.tolist() == [6.0] and x.grad is None
    (first,) = tg.grad((h * h * h).sum(), h, create_graph=True)
    assert tg.grad(first.sum(), h)[0].tolist() == [18.0]


@pytest.mark.parametrize(
    "lose",
    [copy.copy, copy.deepcopy, lambda y: y.requires_grad_(False)],
    ids=["copy", "deepcopy", "requires_grad_"],
)
def test_a_compiled_result_does_not_lose_its_refusal(lose):
    w = tg.nn.Parameter([1.0])
    y = tg.compile(lambda x: w * x)(tg.ones(1))
    assert not y.is_leaf
    with pytest.raises(tg.GraphError, match=r"made by a compiled function.*detach\(\)"):
        lose(y)
    assert copy.deepcopy(y.detach()).is_leaf


def test_a_hook_removed_inside_is_named():
    w = tg.nn.Parameter([1.0])
    handle = w.register_hook(lambda g: g * 10)

    def fn(x):
        handle.remove()
        return tg.grad((w * x).sum(), w)[0]

    with pytest.raises(tg.GraphError, match=r"hook is removed \(at test_compile_handles\.py:\d+\)"):
        tg.compile(fn)(tg.ones(1))
    assert tg.grad((w * 1).sum(), w)[0].tolist() == [10.0]  # it is still there


def test_a_hook_put_on_and_removed_inside_is_nobody_elses():
    def fn(x):
        y = x * 2
        handle = y.register_hook(lambda g: g * 10)
        first = tg.grad(y.sum(), x, retain_graph=True)[0]
        handle.remove()
        return first, tg.grad(y.sum(), x)[0]

    x = tg.tensor([1.0], requires_grad=True)
    assert [g.tolist() for g in tg.compile(fn)(x)] == [g.tolist() for g in fn(x)] == [[20.0], [2.0]]


def test_a_gradient_does_not_stop_at_an_argument_in_silence():
    w = tg.nn.Parameter([1.0])
    h = w * 2
    with pytest.raises(tg.GraphError, match=r"flows to .*test_compile_handles\.py:\d+.*computed outside"):
        tg.compile(lambda h: (h * 3).sum().backward())(h)
    assert tg.compile(lambda h: tg.grad((h * 3).sum(), h)[0])(h).tolist() == [3.0]


def test_what_was_a_leaf_in_one_call_may_be_none_in_the_next():
    w, v = tg.nn.Parameter([1.0]), tg.nn.Parameter([4.0])
    step = tg.compile(lambda h: (h * 3).sum().backward())
    step(w)
    assert w.grad.tolist() == [3.0]
    with pytest.raises(tg.GraphError, match="an argument that was computed outside"):
        step(w * 2)
    product = tg.compile(lambda a, b: tg.grad((a * b).sum(), a)[0])
    assert product(w, v).tolist() == [4.0] and product(w, v * 2).tolist() == [8.0]
    with pytest.raises(tg.GraphError, match=r"also flows through input 1.*computed from it outside.*compute it inside"):
        product(w, w * 2)
    assert product(w, v * 2).tolist() == [8.0]


def test_a_way_outside_to_what_is_used_from_outside_is_named():
    w, v = tg.nn.Parameter([1.0]), tg.nn.Parameter([4.0])
    fn = tg.compile(lambda h: tg.grad((w * h).sum(), w)[0])
    assert fn(v * 2).tolist() == [8.0] and fn((w * 2).detach()).tolist() == [2.0]
    with pytest.raises(tg.GraphError, match=r"test_compile_handles\.py:\d+.* also flows through input 0"):
        fn(w * 2)
