"""JAX functions brought in: losses, outputs and gradients equal to jax.grad's in float64."""

import warnings
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg

jax = pytest.importorskip("jax", reason="JAX is not installed (pip install '.[jax]')")
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

from tinygrad_rnn import interchange  # noqa: E402
from tinygrad_rnn.errors import DataError, GraphError, UnsupportedError  # noqa: E402

jnp.zeros(1)  # what JAX sets when it begins, it sets before the first test

RTOL = 1e-10
T, N, D, H = 4, 2, 3, 3


@pytest.fixture(autouse=True)
def float64():
    """JAX computes in float64 only if told to; its libraries warn of what they themselves deprecated."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)  # of the machine code, not of the numbers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.config.update("jax_enable_x64", False)


def weights(**shapes):
    rng = np.random.default_rng(7)
    return {name: jnp.asarray(rng.normal(size=shape)) for name, shape in shapes.items()}


def tree(x):
    return jax.tree_util.tree_leaves(x)


def same(function, *args, checked=True):
    """Import, run, and compare results and the gradient of the first of them with JAX's; returns our loss's graph."""
    ours = interchange.from_jax(function)
    given = ours.tensors(*args)
    given = (given,) if len(args) == 1 else given
    result = ours(*given)
    floats = [k for k, arg in enumerate(args) if not all(jnp.issubdtype(x.dtype, jnp.integer) for x in tree(arg))]
    whole = jax.value_and_grad(lambda *a: (tree(function(*a))[0], function(*a)), floats, has_aux=True)
    (_, expected), grads = jax.jit(whole)(*args)  # compiled once, not an operation at a time
    assert jax.tree_util.tree_structure(result) == jax.tree_util.tree_structure(expected)
    for got, wanted in zip(tree(result), tree(expected), strict=True):
        assert got.shape == wanted.shape and got.dtype == wanted.dtype
        np.testing.assert_allclose(got.numpy(), wanted, rtol=RTOL, atol=RTOL)
    tree(result)[0].backward(retain_graph=True)
    for leaf, g in zip([x for k in floats for x in tree(given[k])], tree(grads), strict=True):
        mine = np.zeros(leaf.shape) if leaf.grad is None else leaf.grad.numpy()
        np.testing.assert_allclose(mine, g, rtol=RTOL, atol=RTOL * max(1, np.abs(g).max(initial=0)))
    loss = tree(result)[0]
    assert not checked or tg.check_gradients(loss).verdict == "passed"
    return tg.Graph(loss)


def elman(p, x):
    """A scan: the state at each step, the loss over all of them."""

    def step(h, xt):
        h = jnp.tanh(xt @ p["wx"] + h @ p["wh"] + p["b"])
        return h, h

    last, every = lax.scan(step, jnp.zeros((x.shape[1], H)), x)
    return {"loss": (every**2).mean(), "state": last}


def elman_weights():
    return weights(wx=(D, H), wh=(H, H), b=(H,))


def sequence(seed=0, shape=(T, N, D)):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def test_a_scan():
    graph = same(elman, elman_weights(), sequence())
    states = [node for node in graph.nodes if node.role == "h" and node.op is not None]
    assert [node.scope.step for node in states] == list(range(T))
    line = next(node.site for node in states)
    source = Path(__file__).read_text().splitlines()[int(line.split(":")[1]) - 1]
    assert line.startswith("test_interchange_jax.py:") and "jnp.tanh(xt" in source
    assert {node.name for node in graph.parameters} == {"p['wx']", "p['wh']", "p['b']", "x"}


def bidirectional(p, x):
    """Two scans, one of them in reverse, with a pair as state (an LSTM), and a mask by lengths."""

    def lstm(w, reverse):
        def step(state, xt):
            c, h = state
            i, f, g, o = jnp.split(jnp.concatenate([xt, h], -1) @ w, 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (c, h), h

        return lax.scan(step, (jnp.zeros((N, H)), jnp.zeros((N, H))), x, reverse=reverse)[1]

    y = jnp.concatenate([lstm(p["there"], False), lstm(p["back"], True)], -1)
    mask = jnp.arange(T)[:, None] < jnp.array([4, 2])
    return jnp.where(mask[..., None], y, 0.0).sum() / mask.sum()


def test_each_step_of_a_scan_has_its_input():
    """What a scan reads at each step is the step's x, which pictures draw; a loop within a step has none of its own."""

    def nested(x):
        inner = lambda h, a: (jnp.sin(h + a), None)  # noqa: E731
        return lax.scan(lambda h, a: (lax.scan(inner, h, a)[0], None), 0.0, x)[0]

    ours = interchange.from_jax(nested)
    reads = [n for n in tg.Graph(ours(ours.tensors(jnp.ones((T, 2))))).nodes if n.op and n.op.name == "getitem"]
    assert [n.scope.step for n in reads if n.role == "x"] == list(range(T)) and len(reads) == 3 * T
    ours = interchange.from_jax(bidirectional)
    graph = tg.Graph(ours(*ours.tensors(weights(there=(D + H, 4 * H), back=(D + H, 4 * H)), sequence())))
    assert sorted(n.scope.step for n in graph.nodes if n.role == "x") == sorted(2 * list(range(T)))


def test_a_scan_over_stacked_weights_has_no_input_at_each_step():
    def deep(ws, x):
        return (lax.scan(lambda h, w: (jnp.tanh(h @ w["w"].T + w["b"]), None), x, ws)[0] ** 2).mean()

    graph = same(deep, weights(w=(T, H, H), b=(T, H)), sequence(1, (N, H)))
    assert not [node for node in graph.nodes if node.role == "x"]
    assert len([node for node in graph.nodes if node.role == "h" and node.op is not None]) == T


def test_a_reversed_scan_and_a_mask():
    graph = same(bidirectional, weights(there=(D + H, 4 * H), back=(D + H, 4 * H)), sequence())
    assert {node.scope.step for node in graph.nodes if node.op and node.op.name == "sigmoid"} == set(range(T))


def by_hand(p, x):
    """A Python loop with labelled steps, a vmapped cell, checkpoint, layer norm."""

    @jax.checkpoint
    def cell(h, xt):
        a = p["w"] @ jnp.concatenate([h, xt]) + p["b"]
        a = (a - a.mean()) * lax.rsqrt(a.var() + 1e-5)
        return jax.nn.silu(a) + jax.nn.relu(h)

    h = jnp.zeros((N, H))
    for t in range(T):
        with jax.named_scope("cell"), jax.named_scope(f"step{t}"):
            h = jax.vmap(cell)(h, x[t])
    return jnp.log(jnp.cosh(h)).sum()


def test_a_loop_by_hand():
    graph = same(by_hand, weights(w=(H, H + D), b=(H,)), sequence())
    named = [node.scope for node in graph.nodes if "cell" in node.scope.path and node.op]
    assert {scope.step for scope in named} == set(range(T)) and {scope.path for scope in named} == {("cell",)}


def language_model(p, ids):
    """Embedding with a negative index, tied weights, cross-entropy by take_along_axis."""
    h, losses = jnp.zeros(H), []
    for t in range(len(ids) - 1):
        h = jnp.tanh(p["w"] @ h + p["table"][ids[t]])
        logits = jax.nn.log_softmax(p["table"] @ h)
        losses.append(-jnp.take_along_axis(logits, ids[t + 1][None], 0)[0])
    return jnp.stack(losses).mean()


def test_a_language_model():
    same(language_model, weights(w=(H, H), table=(5, H)), jnp.array([0, 4, -1, 2, 3]))


def attention(p, x):
    q, k, v = (x @ p[name] for name in "qkv")
    scores = jnp.einsum("tnh,snh->nts", q, k) / jnp.sqrt(3.0)
    causal = jnp.tril(jnp.ones((T, T), bool))
    return jnp.einsum("nts,snh->tnh", jax.nn.softmax(jnp.where(causal, scores, -jnp.inf)), v).std()


def test_attention():
    same(attention, weights(q=(D, H), k=(D, H), v=(D, H)), sequence())


def written_in_place(p, x):
    """Buffers written by position, dynamic slices, sort, cumulative sums, padding, gather of several axes."""
    buffer = jnp.zeros((T + 1, N, D)).at[1:].set(jnp.tanh(x * p["w"])).at[0, 1].add(p["w"])

    def body(t, carry):
        buffer, total = carry
        now = lax.dynamic_index_in_dim(buffer, t, 0, keepdims=False)
        buffer = lax.dynamic_update_index_in_dim(buffer, now * now + 1, t + 1, 0)
        return buffer, total + now.sum()

    buffer, total = lax.fori_loop(0, T, body, (buffer, 0.0))
    picked = buffer[jnp.array([0, 2]), jnp.array([1, 0])]
    wide = jnp.pad(x, ((1, 0), (0, 0), (0, 0)), constant_values=2.0)
    running = lax.cumsum(buffer, axis=0, reverse=True) + jnp.flip(wide)
    return total + jnp.sort(picked, axis=-1)[:, -1].sum() + jnp.clip(running, -2.0, 2.0).mean() + jnp.prod(p["w"])


def test_writes_by_position():
    same(written_in_place, weights(w=(D,)), sequence() * 0.3)


def chosen(p, x):
    """cond and switch on values, a traced index, an integer power, arg max fed back."""
    y = lax.cond(x.sum() > 0, lambda a: a * p["w"], lambda a: jnp.sin(a) - p["w"], x[0])
    y = lax.switch(jnp.argmax(y[0]), [jnp.exp, jnp.tanh, lambda a: a**3], y)
    return (y / (1 + jnp.abs(y)) + jnp.maximum(y, 0.2) ** 2.5 + jnp.linalg.norm(y)).sum(), y.argmax(-1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_branches(seed):
    same(chosen, weights(w=(D,)), sequence(seed))


def test_random_numbers_and_other_dtypes():
    """Keys go in and random numbers come out as JAX draws them; float32 stays float32."""

    def dropped(x, key):
        kept = jax.random.bernoulli(key, 0.7, x.shape)
        return (jnp.where(kept, x / 0.7, 0) + 0.1 * jax.random.normal(key, x.shape)).sum() ** 2

    same(dropped, sequence(), jax.random.PRNGKey(3))
    small = interchange.from_jax(lambda x: (jnp.tanh(x) * 2.0).sum(), np.ones(3, np.float32))
    assert small(np.ones(3, np.float32)).dtype == np.float32


def test_flax():
    nn = pytest.importorskip("flax.linen", reason="flax is not installed (pip install '.[jax]')")
    kinds = {"param_dtype": jnp.float64, "dtype": jnp.float64}

    class Reader(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.RNN(nn.OptimizedLSTMCell(H, carry_init=nn.initializers.zeros_init(), **kinds))(x)
            x = nn.RNN(nn.GRUCell(H, **kinds), reverse=True)(x)
            return nn.Dense(2, **kinds)(nn.LayerNorm(**kinds)(x)).std()

    x = sequence(shape=(N, T, D))
    model = Reader()
    graph = same(lambda p, x: model.apply(p, x), model.init(jax.random.PRNGKey(0), x), x)
    names = {name for node in graph.nodes for name in node.scope.path}
    assert {"OptimizedLSTMCell_0", "GRUCell_0", "LayerNorm_0"} <= names
    assert "p['params']['GRUCell_0']['hn']['kernel']" in {node.name for node in graph.parameters}


def test_equinox():
    eqx = pytest.importorskip("equinox", reason="equinox is not installed (pip install '.[jax]')")

    def run(cell, x):
        def step(state, xt):
            state = jax.vmap(cell)(xt, state)
            return state, state[0]

        return lax.scan(step, (jnp.zeros((N, H)), jnp.zeros((N, H))), x)[1].std()

    graph = same(run, eqx.nn.LSTMCell(D, H, key=jax.random.PRNGKey(0)), sequence())
    assert "cell.weight_ih" in {node.name for node in graph.parameters}


def test_haiku():
    hk = pytest.importorskip("haiku", reason="haiku is not installed (pip install '.[jax]')")

    def net(x):
        core = hk.GRU(H)
        ys, _ = hk.dynamic_unroll(core, x, jnp.zeros((N, H)))
        return hk.Linear(2)(ys).std()

    model = hk.without_apply_rng(hk.transform(net))
    same(model.apply, model.init(jax.random.PRNGKey(0), sequence()), sequence())


# What JAX cannot, and what its user wrote wrong -------------------------------------------------------------


def test_a_function_that_came_in_goes_out_again():
    """What JAX computes of integers, such as a mask, is computed while `to_jax` traces, not by what it traces."""
    lengths = np.array([3, 1])

    def loss(w, x):
        mask = jnp.arange(3)[:, None] < lengths
        return (jnp.tanh(x @ w) * mask[..., None]).sum()

    w, x = np.eye(2), np.ones((3, 2, 2))
    out, _ = interchange.to_jax(interchange.from_jax(loss), w, x)
    assert float(out({}, w, x)) == pytest.approx(float(loss(w, x)), rel=1e-12)
    np.testing.assert_allclose(jax.grad(out, 1)({}, w, x), jax.grad(loss)(w, x), atol=1e-12)


def test_a_while_loop_is_differentiated_backwards():
    """The same recurrence in a scan gives jax.grad something to compare with; another start takes another number."""

    def until_large(w, x):
        return lax.while_loop(lambda s: jnp.abs(s).max() < 5, lambda s: s * w, x).sum()

    def rounds(w, x, n):
        return lax.scan(lambda s, _: (s * w, None), x, None, length=n)[0].sum()

    ours = interchange.from_jax(until_large)
    w = jnp.array([1.5, 1.25])
    for x, n in ((jnp.array([1.0, 2.0]), 4), (jnp.array([0.1, 0.2]), 10)):
        a, b = ours.tensors(w, x)
        ours(a, b).backward()
        expected = jax.grad(rounds, (0, 1))(w, x, n)
        np.testing.assert_allclose(a.grad.numpy(), expected[0], rtol=1e-13)
        np.testing.assert_allclose(b.grad.numpy(), expected[1], rtol=1e-13)
    with pytest.raises(ValueError, match="everse-mode differentiation"):
        jax.grad(until_large)(w, x)


@pytest.mark.parametrize("kind", ["vjp", "jvp"])
@pytest.mark.parametrize("right", [True, False])
def test_the_users_own_rule_is_kept_and_judged(kind, right):
    """Gradients are JAX's, also where they are wrong, and the check says in which operation at which step."""
    factor = 3.0 if right else 2.0
    if kind == "vjp":

        @jax.custom_vjp
        def cube(x, n):
            return x**3 * n, jnp.sin(x)

        cube.defvjp(
            lambda x, n: (cube(x, n), (x, n)),
            lambda saved, g: (
                factor * saved[0] ** 2 * saved[1] * g[0] + jnp.cos(saved[0]) * g[1],
                (saved[0] ** 3 * g[0]).sum(),
            ),
        )
    else:

        @jax.custom_jvp
        def cube(x, n):
            return x**3 * n, jnp.sin(x)

        @cube.defjvp
        def rule(primals, tangents):
            (x, n), (dx, dn) = primals, tangents
            return cube(x, n), (factor * x**2 * n * dx + x**3 * dn, jnp.cos(x) * dx)

    def loss(w, x):
        def step(h, xt):
            a, b = cube(w * h + xt, 1.5)
            return jnp.tanh(a) + b, None

        return lax.scan(step, jnp.zeros(D), x)[0].sum()

    args = jnp.array([0.4, -0.3, 0.2]), sequence()[:, 0]
    same(loss, *args, checked=right)
    ours = interchange.from_jax(loss)
    report = tg.check_gradients(ours(*ours.tensors(*args)), raise_exception=False)
    assert report.verdict == ("passed" if right else "failed")
    if not right:
        assert "cube" in str(report.blame) and "test_interchange_jax.py" in str(report.blame)
        assert {c.step for c in report.wrong if c.step is not None}


@pytest.mark.parametrize(
    ("shapes", "settings"),
    [
        (((2, 3, 5), (4, 3, 2)), {"window_strides": (2,), "padding": "SAME"}),
        (((2, 5, 4), (3, 2, 6)), {
            "window_strides": (1,), "padding": [(2, -1)], "lhs_dilation": (2,), "rhs_dilation": (2,),
            "dimension_numbers": ("NWC", "WIO", "NWC"), "feature_group_count": 2,
        }),
        (((4, 2, 3, 4), (6, 2, 2, 2)), {"window_strides": (1, 2), "padding": "VALID", "batch_group_count": 2}),
    ],
)  # fmt: skip
def test_convolutions(shapes, settings):
    p = weights(x=shapes[0], w=shapes[1])
    same(lambda p: (lax.conv_general_dilated(p["x"], p["w"], **settings) ** 2).sum(), p, checked=False)


def test_half_precision_is_refused_by_name():
    half = jnp.ones(3, jnp.bfloat16)
    with pytest.raises(tg.DTypeError, match=r"from_jax: half is bfloat16, which no tensor here can be"):
        interchange.from_jax(lambda x: (x * half.astype(x.dtype)).sum(), jnp.ones(3))
    with pytest.raises(tg.DTypeError, match=r"from_jax: x\['a'\] is float16"):
        interchange.from_jax(lambda x: x["a"].sum()).tensors({"a": jnp.ones(3, jnp.float16)})


def test_complex_numbers_are_refused_by_name():
    def turning(angle, x):  # a linear recurrent unit
        return lax.scan(lambda h, xt: (jnp.exp(1j * angle) * h + xt, None), jnp.zeros(3, complex), x)[0].real.sum()

    with pytest.raises(UnsupportedError, match=r"element_type in complex128 \(at test_interchange_jax.py:\d+\)"):
        interchange.from_jax(turning, jnp.ones(3), jnp.ones((4, 3)))


def test_minus_infinity_where_no_path_leads():
    def paths(p):  # of a connectionist loss: the probability of all ways to the last two places
        start = jnp.full(3, -jnp.inf).at[0].set(p["s"][0, 0])
        step = lambda a, s: (jnp.logaddexp(a, jnp.concatenate([jnp.array([-jnp.inf]), a[:-1]])) + s, None)  # noqa: E731
        return -jnp.logaddexp(*lax.scan(step, start, p["s"][1:])[0][1:])

    with np.errstate(all="ignore"):
        same(paths, weights(s=(4, 3)))


def test_a_rule_of_its_own_is_compiled_too():
    ours, x = interchange.from_jax(lambda x: wrongly_scaled(x).sum()), tg.tensor(np.ones(3), requires_grad=True)
    gradient = tg.compile(lambda x: tg.grad(ours(x), x)[0])
    np.testing.assert_array_equal(gradient(x).numpy(), np.full(3, 1.1))


@jax.custom_vjp
def wrongly_scaled(x):
    return x * 1.0


wrongly_scaled.defvjp(lambda x: (x * 1.0, None), lambda _, g: (g * 1.1,))


def test_everything_unsupported_at_once():
    def strange(x):
        y = lax.lgamma(x)
        z = lax.scan(lambda h, xt: (lax.digamma(h + xt), None), 0.0, y)[0]
        return z + jnp.linalg.cholesky(jnp.eye(2) * x[0]).sum() + x.astype(jnp.float16).sum()

    with pytest.raises(UnsupportedError) as error:
        interchange.from_jax(strange, jnp.ones(3))
    for part in (
        "lgamma (at test_interchange_jax.py:",
        "digamma (at",
        "cholesky (at",
        "convert_element_type in float16",
    ):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_cut_off_stays_cut_off():
    def loss(x):
        return (x * lax.stop_gradient(x)).sum()

    ours = interchange.from_jax(loss, jnp.ones(3))
    x = ours.tensors(jnp.array([1.0, 2.0, 3.0]))
    ours(x).backward()
    assert x.grad.tolist() == [1.0, 2.0, 3.0]


def test_loops_that_do_not_end_and_results_that_differ(monkeypatch):
    from tinygrad_rnn.interchange.jaxprs.operators import control

    monkeypatch.setattr(control, "MOST_ROUNDS", 10)
    forever = interchange.from_jax(lambda x: lax.while_loop(lambda s: s.sum() < 1, lambda s: s * 0.5, x))
    with pytest.raises(DataError, match="has not ended after 10 rounds"):
        forever(jnp.array([0.5, 0.1]))
    calls = []

    def changes(x):
        calls.append(1)
        return x * len(calls)

    with pytest.raises(GraphError, match=r"a result of changes is not JAX's, off by 1"):
        interchange.from_jax(changes, jnp.ones(2))


def test_other_shapes_and_arguments_that_are_no_arrays():
    ours = interchange.from_jax(elman)
    ours(elman_weights(), sequence())
    longer = sequence(1, (T + 2, N + 1, D))
    np.testing.assert_allclose(ours(elman_weights(), longer)["loss"].numpy(), elman(elman_weights(), longer)["loss"])

    def scaled(x, how, by=1.0):
        return (jnp.tanh(x) if how == "tanh" else x) * by

    ours = interchange.from_jax(scaled)
    x = sequence()
    np.testing.assert_allclose(ours(x, "tanh", by=2.0).numpy(), jnp.tanh(x) * 2)
    np.testing.assert_allclose(ours(x, "not", by=2.0).numpy(), x * 2)
