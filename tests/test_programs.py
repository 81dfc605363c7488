"""Random expressions over the whole table of primitives: laws of the graph, whatever it is made of."""

import numpy as np
from hypothesis import find, given, settings
from hypothesis import strategies as st
from nightly import examples
from oracle import close

import tinygrad_rnn as tg
from tinygrad_rnn.testing import strategies
from tinygrad_rnn.testing.networks import Network
from tinygrad_rnn.testing.sample_operands import RECIPES

#: a cast to single precision rounds, which derivatives of derivatives and re-evaluations would have to forgive
EXACT = tuple(sorted(set(RECIPES) - {"cast"}))
RTOL = 1e-11


def seeds(upstream, results):
    """One upstream gradient per result."""
    return [tg.tensor(upstream.array(y.shape), dtype=y.dtype) for y in results]


def gradients(results, leaves, upstream, **options):
    """By leaf; zeros where a result does not depend on it."""
    found = tg.grad(results, leaves, seeds(upstream, results), allow_unused=True, **options)
    return [np.zeros(x.shape) if g is None else g.numpy() for x, g in zip(leaves, found)]


@given(strategies.programs(names=EXACT))
def test_gradients_are_right(program):
    assert tg.check_gradients(program, program.leaves)


@given(strategies.programs(), strategies.upstream())
def test_a_second_walk_gives_the_same_bits(program, upstream):
    leaves = program.tensors()
    results = program(*leaves)
    first = gradients(results, leaves, upstream, retain_graph=True)
    for once, again in zip(first, gradients(results, leaves, upstream)):
        np.testing.assert_array_equal(once, again)


@given(strategies.programs(names=EXACT), strategies.upstream(), st.data())
def test_the_order_of_making_does_not_matter(program, upstream, data):
    start, order = len(program.leaves), []
    while len(order) < len(program.lines):
        made = {*range(start), *(start + k for k in order)}
        ready = [k for k, line in enumerate(program.lines) if start + k not in made and made.issuperset(line.sources)]
        order.append(data.draw(st.sampled_from(ready)))
    one, other = program.tensors(), program.tensors()
    reordered = program.values(*other, order=order)
    close_all(
        gradients([reordered[k] for k in program.results], other, upstream), gradients(program(*one), one, upstream)
    )


@given(strategies.programs(names=EXACT), strategies.upstream(), st.data())
def test_a_graph_cut_anywhere_is_two_graphs(program, upstream, data):
    """What arrives at a detached value, sent on from where it was made, is all that the cut kept back."""
    start = len(program.leaves)
    cut = start + data.draw(st.integers(0, len(program.lines) - 1))
    whole, pieces = program.tensors(), program.tensors()
    expected = gradients(program(*whole), whole, upstream)
    values = program.values(*pieces, cut=(cut,))
    results = [values[k] for k in program.results]
    *late, arrived = gradients(results, [*pieces, values[cut]], upstream)
    before = program.values(*pieces)[cut]
    early = gradients([before], pieces, Given(arrived))
    close_all([a + b for a, b in zip(late, early)], expected)


class Given:
    """An upstream gradient that is known."""

    def __init__(self, value):
        self.value = value

    def array(self, _shape):
        return self.value


@given(strategies.programs(names=EXACT), strategies.upstream(("normal",)), strategies.upstream(("normal", "one")))
def test_gradients_are_linear_in_what_arrives(program, one, other):
    leaves = program.tensors()
    results = program(*leaves)
    both = [a + b for a, b in zip(seeds(one, results), seeds(other, results))]
    together = tg.grad(results, leaves, both, allow_unused=True, retain_graph=True)
    first, second = gradients(results, leaves, one, retain_graph=True), gradients(results, leaves, other)
    for g, a, b in zip(together, first, second):
        size = max(np.linalg.norm(a), np.linalg.norm(b), *(np.linalg.norm(seed) for seed in both))
        assert np.linalg.norm((0.0 if g is None else g.numpy()) - (a + b)) <= RTOL * size


@given(strategies.programs(names=EXACT))
def test_second_derivatives_are_symmetric(program):
    leaves = program.tensors()
    rng = np.random.default_rng(0)
    total = sum((y * tg.tensor(rng.standard_normal(y.shape))).sum() for y in program(*leaves))
    first = tg.grad(total, leaves, create_graph=True, allow_unused=True)
    u, v = ([tg.tensor(rng.standard_normal(x.shape)) for x in leaves] for _ in range(2))

    def product(direction):
        along = sum((g * d).sum() for g, d in zip(first, direction) if g is not None)
        if not (isinstance(along, tg.Tensor) and along.requires_grad):
            return [np.zeros(x.shape) for x in leaves]
        found = tg.grad(along, leaves, retain_graph=True, allow_unused=True)
        return [np.zeros(x.shape) if g is None else g.numpy() for x, g in zip(leaves, found)]

    hu, hv = product(u), product(v)
    left = sum(float((a.numpy() * b).sum()) for a, b in zip(v, hu))
    right = sum(float((a.numpy() * b).sum()) for a, b in zip(u, hv))
    size = sum(np.linalg.norm(a) for a in (*hu, *hv))
    assert abs(left - right) <= 1e-9 * max(size, 1e-9)


@given(strategies.programs())
def test_nothing_is_recorded_under_no_grad(program):
    recorded = program(*program.tensors())
    with tg.no_grad():
        plain = program(*program.tensors())
    for one, other in zip(plain, recorded):
        assert one.is_leaf and not one.requires_grad
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@given(strategies.programs())
def test_a_saved_graph_computes_the_same_values(program):
    results = program(*program.tensors())
    graph = tg.Graph.from_json(tg.Graph(*results).to_json())
    for one, other in zip(graph.evaluate(), results):
        np.testing.assert_array_equal(one, other.numpy())


@examples(5)
@given(strategies.programs())
def test_compiled_and_eager_agree(program):
    leaves = program.tensors()

    def values_and_gradients(*leaves):
        results = program(*leaves)
        total = sum((y * y).sum() for y in results)
        found = tg.grad(total, list(leaves), allow_unused=True)
        return [*results, *(g for g in found if g is not None)]

    close_all(tg.compile(values_and_gradients)(*leaves), values_and_gradients(*leaves))


def close_all(got, expected):
    assert len(got) == len(expected)
    for one, other in zip(got, expected):
        close(np.asarray(one), np.asarray(other), RTOL)


# What the strategies themselves promise ---------------------------------------------------------------------------


@given(strategies.broadcastable_shapes(3))
def test_broadcastable_shapes_broadcast(shapes):
    assert tg.TABLE["add"].shape(*shapes) == np.broadcast_shapes(*shapes)


@given(strategies.optimizer_runs(), st.data())
def test_an_optimizer_goes_on_from_its_state(run, data):
    """Stopped after any step, saved, loaded into a new one: the same bits."""
    stop = data.draw(st.integers(0, run.steps))
    parameters = run.parameters()
    optimizer = run.optimizer(parameters)
    for t in range(run.steps):
        if t == stop:
            saved = optimizer.state_dict()
            parameters = [tg.tensor(p.numpy(), requires_grad=True) for p in parameters]
            optimizer = run.optimizer(parameters)
            optimizer.load_state_dict(saved)
        run.step(optimizer, parameters, t)
    straight = run.parameters()
    optimizer = run.optimizer(straight)
    for t in range(run.steps):
        run.step(optimizer, straight, t)
    for one, other in zip(parameters, straight):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def smallest(strategy, condition):
    return find(strategy, condition, settings=settings(max_examples=2000, database=None, derandomize=True))


def test_failures_shrink_to_something_readable():
    network = smallest(strategies.networks(), lambda n: n.kind == "lstm" and n.bidirectional and min(n.lengths) > 1)
    assert network == Network("lstm", bidirectional=True, lengths=(2,), features=1, hidden=1)
    program = smallest(strategies.programs(), lambda p: any(line.name == "tanh" for line in p.lines))
    assert repr(program) == "RandomProgram:\n  x0 = leaf 0.7896\n  x1 = tanh(x0)\n  return x1"
    values = smallest(strategies.values(domain="positive"), lambda v: v.array.size > 1)
    assert values == strategies.Values((2,), "positive", 0)
    assert smallest(strategies.upstream(), lambda u: u.size > 1) == strategies.Upstream("ones", 1e12, 0)
    run = smallest(strategies.optimizer_runs(), lambda r: r.name == "Adam" and r.steps > 1)
    assert run == strategies.OptimizerRun("Adam", run.settings, ((),), 2, 0)
