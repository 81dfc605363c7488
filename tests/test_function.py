"""Functions with a backward pass of their own: PyTorch's numbers, and the gradient check's verdict."""

from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz


class Cube(tg.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (x,) = ctx.saved_tensors
        return gradient * 3 * x * x


class WrongCube(Cube):
    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (x,) = ctx.saved_tensors
        return gradient * 2 * x * x


class ScaledExp(tg.Function):
    """Saves its result, keeps a number, takes what is no tensor, and gives two results."""

    @staticmethod
    def forward(ctx: Any, x: Any, factor: float, shift: Any) -> Any:
        y = x.exp()
        ctx.save_for_backward(y, shift)
        ctx.factor = factor
        return y, factor * x + shift

    @staticmethod
    def backward(ctx: Any, through_exp: Any, through_line: Any) -> Any:
        y, _ = ctx.saved_tensors
        summed = through_line.sum() if ctx.needs_input_grad[2] else None
        return through_exp * y + ctx.factor * through_line, None, summed


class Straight(tg.Function):
    """In the new style, through NumPy: rounds, and sends the gradient straight through."""

    @staticmethod
    def forward(x: Any) -> Any:
        return tg.tensor(np.round(x.numpy()))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.shape = output.shape

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        assert gradient.shape == ctx.shape
        return gradient


def leaves() -> tuple[tg.Tensor, tg.Tensor]:
    return tuple(tg.tensor(x, dtype="float64", requires_grad=True) for x in ([0.5, -1.5], 0.25))  # type: ignore[return-value]


def two_results(x: Any, shift: Any) -> Any:
    a, b = ScaledExp.apply(x, 2.0, shift)
    return (a * b.sin()).sum() + Cube.apply(b).sum()


def test_the_check_judges_both_passes() -> None:
    x, shift = leaves()
    assert tg.check_gradients(two_results(x, shift))
    with pytest.raises(AssertionError, match="WrongCube"):
        tg.check_gradients(WrongCube.apply(x).sum())


def test_the_check_calls_a_function_of_ones_own() -> None:
    x, shift = leaves()
    assert tg.check_gradients(two_results, [x, shift])
    report = tg.check_gradients(lambda x: WrongCube.apply(x).sum(), [x], raise_exception=False)
    assert not report and report.unsteady is None
    severed = tg.check_gradients(lambda x: (Cube.apply(x) * x.detach()).sum(), [x], raise_exception=False)
    assert severed.severed and "no gradient flows back" in severed.severed


def test_gradients_are_pytorchs_and_may_be_differentiated_again() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")

    class TorchExp(torch.autograd.Function):  # type: ignore[misc]
        forward, backward = staticmethod(ScaledExp.forward), staticmethod(ScaledExp.backward)

    class TorchCube(torch.autograd.Function):  # type: ignore[misc]
        forward, backward = staticmethod(Cube.forward), staticmethod(Cube.backward)

    ours = leaves()
    theirs = tuple(torch.tensor(x.numpy().copy(), requires_grad=True) for x in ours)
    a, b = TorchExp.apply(theirs[0], 2.0, theirs[1])
    judged = (a * b.sin()).sum() + TorchCube.apply(b).sum()
    loss = two_results(*ours)
    assert loss.item() == pytest.approx(judged.item())
    first, expected = tg.grad(loss, ours, create_graph=True), torch.autograd.grad(judged, theirs, create_graph=True)
    for g, e in zip(first, expected, strict=True):
        np.testing.assert_allclose(g.numpy(), e.detach().numpy(), rtol=1e-13)  # type: ignore[union-attr]
    second = tg.grad(sum((g * g).sum() for g in first), ours)  # type: ignore[union-attr,arg-type]
    for g, e in zip(second, torch.autograd.grad(sum((e * e).sum() for e in expected), theirs), strict=True):
        np.testing.assert_allclose(g.numpy(), e.numpy(), rtol=1e-12)  # type: ignore[union-attr]


def test_compiled_is_eager() -> None:
    def gradients(x: Any, shift: Any) -> Any:
        loss = two_results(x, shift)
        return loss, *tg.grad(loss, [x, shift])

    run = tg.compile(gradients)
    for x, shift in (leaves(), (leaves()[0] * 0.5, leaves()[1])):
        x = x.detach().requires_grad_()
        for got, expected in zip(run(x, shift), gradients(x, shift), strict=True):
            np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-13)
    with pytest.raises(tg.GraphError, match=r"has no value while a function is being compiled.*test_function.py"):
        tg.compile(lambda x: Straight.apply(x))(leaves()[0])


def test_a_gradient_goes_straight_through() -> None:
    x = tg.tensor([0.4, 1.6], requires_grad=True)
    y = Straight.apply(x)
    (y * tg.tensor([2.0, 3.0])).sum().backward()
    assert y.tolist() == [0.0, 2.0] and x.grad is not None and x.grad.tolist() == [2.0, 3.0]
    with tg.no_grad():
        assert not Straight.apply(x).requires_grad
    assert not Straight.apply(x.detach()).requires_grad


def sorting(base: Any, materialize: bool | None = None, seen: list[Any] | None = None) -> Any:
    """Two of its results have no gradient: the places, which are integers, and the argument itself."""

    class Sorting(base):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            values, places = x.sort()
            ctx.mark_non_differentiable(places, x)
            if materialize is not None:
                ctx.set_materialize_grads(materialize)
            ctx.save_for_backward(places)
            return places, values, x

        @staticmethod
        def backward(ctx: Any, for_places: Any, gradient: Any, for_x: Any) -> Any:
            if seen is not None:
                seen.extend((for_places, for_x))
            return gradient.gather(0, ctx.saved_tensors[0].argsort())

    return Sorting


@pytest.mark.parametrize("materialize", [None, True, False])
def test_results_without_a_gradient_are_pytorchs(materialize: bool | None) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the judge here")
    found = []
    for library, base in ((tg, tg.Function), (torch, torch.autograd.Function)):
        seen: list[Any] = []
        x = library.tensor([2.0, -1.0, 0.5], dtype=library.float64, requires_grad=True)
        places, values, same = sorting(base, materialize, seen).apply(x)
        (values * values.detach() ** 2).sum().backward()
        wants = [y.requires_grad for y in (places, values, same)]
        found.append((wants, places.tolist(), x.grad.tolist(), [None if g is None else g.tolist() for g in seen]))
    assert found[0] == found[1]
    assert found[0][0] == [False, True, False]
    assert (found[0][3] == [None, None]) is (materialize is False)


def test_the_check_and_compile_know_results_without_a_gradient() -> None:
    x, own = tg.tensor([2.0, -1.0, 0.5], dtype="float64", requires_grad=True), sorting(tg.Function)

    def loss(x: Any) -> Any:
        places, values, _ = own.apply(x)
        return (values * tg.tensor([1.0, 2.0, 3.0], dtype="float64")).sum() + places.sum()

    assert tg.check_gradients(loss(x))
    (eager,), (compiled,) = tg.grad(loss(x), [x]), tg.compile(lambda x: tg.grad(loss(x), [x]))(x)
    assert eager.tolist() == compiled.tolist() == [3.0, 1.0, 2.0]  # type: ignore[union-attr]


def test_no_result_may_have_a_gradient() -> None:
    class Place(tg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            place = x.argmax(0)
            ctx.mark_non_differentiable(place)
            return place

    place = Place.apply(tg.tensor([1.0, 3.0], requires_grad=True))
    assert place.item() == 1 and not place.requires_grad


def test_a_result_may_be_an_argument() -> None:
    class Same(tg.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, _unused: Any) -> Any:
            ctx.save_for_backward(x, None)
            return x

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            x, nothing = ctx.saved_tensors
            assert nothing is None
            return gradient * x, None

    x, other = (tg.tensor([3.0], requires_grad=True) for _ in range(2))
    y = Same.apply(x, other)
    y.sum().backward(retain_graph=True)
    assert x.grad is not None and x.grad.tolist() == [3.0] and other.grad is not None and other.grad.tolist() == [0.0]
    with tg.no_grad():
        x.copy_([5.0])
    assert y.tolist() == [3.0]
    with pytest.raises(tg.MutationError, match="Same"):
        y.sum().backward()


def test_it_is_drawn_as_one_operation() -> None:
    graph = tg.Graph(Cube.apply(tg.tensor([2.0], requires_grad=True)).sum())
    assert [node.op.name for node in graph.nodes if node.op] == ["Cube", "sum"]
    assert "Cube" in viz.render(graph).svg
    again = tg.Graph.from_json(graph.to_json())  # with its value, and without its backward pass
    assert again.evaluate()[0] == 8.0
    x, *_, y = again.tensors()
    with pytest.raises(tg.GraphError, match="the rule of Cube is not in this process"):
        tg.grad(y, x)


def of(forward: Any, backward: Any) -> Any:
    return type("Own", (tg.Function,), {"forward": staticmethod(forward), "backward": staticmethod(backward)})


@pytest.mark.parametrize(
    ("forward", "backward", "error", "message"),
    [
        (lambda ctx, x: 3, None, tg.DTypeError, "Own.forward returns tensors, not int"),
        (lambda ctx, x: x > 0, None, tg.DTypeError, "float tensors of one dtype, not bool"),
        (lambda ctx, x: x * 2, lambda ctx, g: (g, g), tg.GraphError, "returned 2 gradients, but forward takes 1"),
        (
            lambda ctx, x: x * 2,
            lambda ctx, g: g.sum(),
            tg.ShapeError,
            r"of shape \(\) for argument 0, which has \(2,\)",
        ),
        (lambda ctx, x: ctx.save_for_backward(3), None, tg.DTypeError, "keeps tensors, not int"),
        (lambda ctx, x: ctx.mark_non_differentiable(3), None, tg.DTypeError, "takes tensors that .* not int"),
        (lambda ctx, x: ctx.mark_dirty(x), None, tg.GraphError, "mark_dirty: a Function writes none of its arguments"),
    ],
)
def test_mistakes_are_one_line(forward: Any, backward: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        of(forward, backward).apply(tg.tensor([1.0, 2.0], requires_grad=True)).sum().backward()
    assert "\n" not in str(caught.value)
    with pytest.raises(NotImplementedError, match="define one"):
        tg.Function.apply(1.0)
