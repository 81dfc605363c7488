"""`tg.jvp`, and the oracles held against each other: two reverse walks, and the complex step in plain NumPy."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from nightly import NIGHTLY

import tinygrad_rnn as tg
from tinygrad_rnn.check.tolerances import COMPLEX_STEP
from tinygrad_rnn.norms import norm
from tinygrad_rnn.testing.networks import Network

NETWORKS = 2000 if NIGHTLY else 50


def drawn(seed):
    """A network of any kind and its direction of movement."""
    rng = np.random.default_rng(seed)
    network = Network(
        kind=str(rng.choice(["rnn", "lstm", "gru"])), layers=int(rng.integers(1, 3)),
        bidirectional=bool(rng.integers(2)), bias=bool(rng.integers(2)),
        lengths=tuple(int(n) for n in rng.integers(1, 5, int(rng.integers(1, 3)))), features=int(rng.integers(1, 3)),
        hidden=int(rng.integers(1, 4)), scale=float(rng.choice([0.1, 1.0, 3.0])), seed=seed,
    )  # fmt: skip
    return network, {name: rng.standard_normal(x.shape) for name, x in network.arrays.items()}


def test_both_oracles_agree_on_random_networks():
    """How all outputs move along one direction in every input and weight; and the same product from the other side."""
    for seed in range(NETWORKS):
        network, direction = drawn(seed)
        outputs, leaves = network.run()
        names = list(leaves)

        def forward(*values, network=network, names=names):
            layer, given = network.layer(), dict(zip(names, values, strict=True))
            for name, _ in list(layer.named_parameters()):
                setattr(layer, name, given[name])
            state = tuple(given[name] for name in network.given[1:])
            y, final = layer(given["x"], state if len(state) > 1 else state[0], lengths=list(network.lengths))
            return (y, *(final if isinstance(final, tuple) else [final]))

        _, moved = tg.jvp(forward, [leaves[name].detach() for name in names], [direction[name] for name in names])
        nudge = {(name,): 1j * COMPLEX_STEP * v for name, v in direction.items()}
        expected = [np.imag(y) / COMPLEX_STEP for y in network.forward(nudge)]
        for got, wanted in zip(moved, expected, strict=True):
            assert norm(got.numpy() - wanted) <= 1e-11 * max(norm(wanted), 1e-3), (seed, network)
        pulled = tg.grad(outputs, [leaves[name] for name in names], network.upstream)
        one = sum(float((g.numpy() * direction[name]).sum()) for g, name in zip(pulled, names, strict=True))
        other = sum(float((u * y).sum()) for u, y in zip(network.upstream, expected, strict=True))
        size = sum(norm(u) * norm(y) for u, y in zip(network.upstream, expected, strict=True))
        assert abs(one - other) <= 1e-11 * size, (seed, network)


def test_several_inputs_and_outputs():
    x, w = tg.tensor([1.0, 2.0]), tg.tensor(3.0)
    (y, z, k), (dy, dz, dk) = tg.jvp(
        lambda x, w: (x * w, w * w, tg.tensor([1.0])), (x, w), (tg.tensor([1.0, 0.0]), tg.tensor(1.0))
    )
    assert y.tolist() == [3.0, 6.0] and dy.tolist() == [4.0, 2.0]
    assert (z.item(), dz.item(), k.tolist(), dk.tolist()) == (9.0, 6.0, [1.0], [0.0])
    assert not y.requires_grad and not dy.requires_grad


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.func uses its own torch.jit.script
def test_as_torch():
    torch = pytest.importorskip("torch")
    x, v = np.array([0.3, -0.7]), np.array([1.0, 2.0])
    expected = torch.func.jvp(lambda x: x.sin() * x, (torch.tensor(x),), (torch.tensor(v),))
    for got, wanted in zip(tg.jvp(lambda x: x.sin() * x, (tg.tensor(x),), (tg.tensor(v),)), expected, strict=True):
        np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-14)


@pytest.mark.parametrize(
    "primals, tangents, said",
    [
        ((tg.tensor(1.0),), (), "1 primals want as many tangents, not 0"),
        (tg.tensor(1.0), (tg.tensor(1.0),), "are tuples of tensors"),
        ((tg.tensor(1.0),), (tg.tensor([1.0]),), r"primal 0 has shape \(\) but its tangent \(1,\)"),
    ],
)
def test_what_makes_no_sense_is_one_line(primals, tangents, said):
    with pytest.raises(tg.TinygradError, match=said):
        tg.jvp(lambda x: x, primals, tangents)
    with pytest.raises(tg.GraphError, match="returned float"):
        tg.jvp(lambda x: 1.0, (tg.tensor(1.0),), (tg.tensor(1.0),))


def test_real_time_recurrent_learning_gives_the_gradient_of_backpropagation_through_time(rng):
    path = Path(__file__).parent.parent / "examples" / "rtrl.py"
    example = runpy.run_path(str(path))
    xs, w = rng.standard_normal((7, 2)), rng.uniform(-1, 1, (5, 3))
    np.testing.assert_allclose(example["rtrl"](xs, w), example["bptt"](xs, w), rtol=1e-12, atol=1e-14)
