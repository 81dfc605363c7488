"""Any program of tensor operations, against a scalar engine of a hundred lines."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from naive import Number, total

import tinygrad_rnn as tg

UNARY = ["__neg__", "sin", "tanh", "sigmoid", "relu"]


class EagerAgainstNaive(RuleBasedStateMachine):
    """Grow a graph in both engines at once; every value, and any gradient asked for, must agree."""

    nodes = Bundle("nodes")

    def __init__(self):
        super().__init__()
        self.leaves = []
        self.newest = None

    def pair(self, tensor, numbers):
        """A tensor and its twin: an object array of numbers of the same shape."""
        self.newest = (tensor, np.asarray(numbers, object))
        return self.newest

    @initialize(target=nodes, seed=st.integers(0, 2**16))
    def start(self, seed):
        return self._leaf((2,), seed)

    def _leaf(self, shape, seed):
        values = np.random.default_rng(seed).uniform(-1.5, 1.5, shape)
        leaf = tg.tensor(values, requires_grad=True), np.vectorize(Number, otypes=[object])(values)
        self.leaves.append(leaf)
        return self.pair(*leaf)

    @rule(target=nodes, shape=st.sampled_from([(), (1,), (2,), (2, 1), (2, 2)]), seed=st.integers(0, 2**16))
    def leaf(self, shape, seed):
        return self._leaf(shape, seed)

    @rule(target=nodes, x=nodes, name=st.sampled_from(UNARY))
    def unary(self, x, name):
        return self.pair(getattr(x[0], name)(), np.vectorize(lambda v: getattr(v, name)(), otypes=[object])(x[1]))

    @rule(target=nodes, x=nodes, y=nodes, name=st.sampled_from(["__add__", "__sub__"]))
    def average(self, x, y, name):
        """Halved, so that a long program stays finite."""
        a, b = np.broadcast_arrays(x[1], y[1])
        half = np.vectorize(lambda v, w: getattr(v, name)(w) * Number(0.5), otypes=[object])
        return self.pair(getattr(x[0], name)(y[0]) * 0.5, half(a, b))

    @rule(target=nodes, x=nodes, y=nodes)
    def gate(self, x, y):
        a, b = np.broadcast_arrays(x[1], y[1])
        return self.pair(x[0].sigmoid() * y[0], np.vectorize(lambda v, w: v.sigmoid() * w, otypes=[object])(a, b))

    @rule(target=nodes, x=nodes)
    def square(self, x):
        bounded = np.vectorize(lambda v: v.sin() * v.sin(), otypes=[object])
        return self.pair(x[0].sin().square(), bounded(x[1]))

    @rule(target=nodes, x=nodes, y=nodes)
    def divide(self, x, y):
        """By a number that cannot be near 0."""
        a, b = np.broadcast_arrays(x[1], y[1])
        return self.pair(
            x[0] / (y[0] * y[0] + 1.0), np.vectorize(lambda v, w: v / (w * w + Number(1.0)), otypes=[object])(a, b)
        )

    @rule(target=nodes, x=nodes, y=nodes)
    def maximum(self, x, y):
        a, b = np.broadcast_arrays(x[1], y[1])
        return self.pair(tg.maximum(x[0], y[0]), np.vectorize(Number.maximum, otypes=[object])(a, b))

    @rule(target=nodes, x=nodes)
    def bounded_exponential(self, x):
        return self.pair(x[0].tanh().exp(), np.vectorize(lambda v: v.tanh().exp(), otypes=[object])(x[1]))

    @rule(target=nodes, x=nodes)
    def cut(self, x):
        return self.pair(x[0].detach(), np.vectorize(Number.detach, otypes=[object])(x[1]))

    @rule(target=nodes, x=nodes)
    def squash_and_sum(self, x):
        return self.pair(x[0].tanh().sum(), np.array(total([v.tanh() for v in x[1].ravel()]), object))

    @rule(target=nodes, x=nodes)
    def turn(self, x):
        return self.pair(x[0].T, x[1].T)

    @rule(target=nodes, x=nodes)
    def first_row(self, x):
        return self.pair(x[0][:1], x[1][:1]) if x[1].ndim else x

    @rule(target=nodes, x=nodes, y=nodes)
    def side_by_side(self, x, y):
        a, b = np.broadcast_arrays(x[1], y[1])
        shape = a.shape
        return self.pair(tg.stack([x[0].broadcast_to(shape), y[0].broadcast_to(shape)]).mean(0), (a + b) * Number(0.5))

    @rule(x=nodes, again=st.booleans())
    def backward(self, x, again):
        if not x[0].requires_grad:
            return
        for leaf, _ in self.leaves:
            leaf.grad = None
        x[0].sum().backward(retain_graph=True)
        if again:
            x[0].sum().backward(retain_graph=True)
        slope = total(list(x[1].ravel())).gradients()
        for leaf, numbers in self.leaves:
            expected = np.vectorize(lambda v: slope.get(id(v), 0.0), otypes=[float])(numbers) * (2 if again else 1)
            got = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9 * (1 + np.abs(expected).max()))

    @invariant()
    def values_agree(self):
        if self.newest is not None:
            tensor, numbers = self.newest
            expected = np.vectorize(lambda v: v.value, otypes=[float])(numbers)
            assert tensor.shape == expected.shape
            np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-12, atol=1e-12 * (1 + np.abs(expected).max()))


TestEagerAgainstNaive = EagerAgainstNaive.TestCase
