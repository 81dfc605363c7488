"""PyTorch programs brought in: losses, outputs and gradients equal to PyTorch's own."""

import warnings

import numpy as np
import pytest

import tinygrad_rnn as tg

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install '.[torch]')")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from tinygrad_rnn import interchange  # noqa: E402

torch.set_num_threads(1)
RTOL = 1e-10


@pytest.fixture(autouse=True)
def float64():
    """PyTorch's default dtype; a model's weights, masks and states are made in it."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def close(got, expected):
    expected = expected.detach().numpy()
    assert got.shape == expected.shape
    assert np.abs(got - expected).max(initial=0) <= RTOL * max(1, np.abs(expected).max(initial=0))


def flat(result):
    if isinstance(result, (tuple, list)):
        return [x for part in result for x in flat(part)]
    return [result]


def same(program, *args, parameters=None, seed=1):
    """Import ``program``, run both again on other inputs, and compare outputs and gradients. Returns ours."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", interchange.ForeignWarning)
        ours = interchange.from_torch(program, args)
    for attempt in range(2):
        given = [_other(x) if attempt and not ours.import_notes else x for x in args]
        torch.manual_seed(seed)
        theirs, mine = flat(program(*given)), flat(ours(*(_array(x) for x in given)))
        assert len(theirs) == len(mine)
        for a, b in zip(mine, theirs, strict=True):
            close(a.numpy(), b)
        weights = parameters or dict(program.named_parameters())
        if not weights:
            continue
        pairs = [(a, b) for a, b in zip(mine, theirs, strict=True) if b.requires_grad]
        upstream = [torch.randn(b.shape) for _, b in pairs]
        expected = torch.autograd.grad([b for _, b in pairs], list(weights.values()), upstream, allow_unused=True)
        found = dict(ours.named_parameters())
        got = tg.grad(
            [a for a, _ in pairs],
            [found[n] for n in weights],
            [tg.tensor(g.numpy()) for g in upstream],
            allow_unused=True,
        )
        for name, a, b in zip(weights, got, expected, strict=True):
            assert (a is None or not a.numpy().any()) if b is None else a is not None, name
            if b is not None:
                close(a.numpy(), b)
    return ours


def _other(x):
    return torch.randn_like(x) if isinstance(x, torch.Tensor) and x.is_floating_point() else x


def _array(x):
    return x.numpy() if isinstance(x, torch.Tensor) else x


class CharacterModel(nn.Module):
    def __init__(self, kind="RNN", **options):
        super().__init__()
        self.rnn = getattr(nn, kind)(5, 4, **options)
        width = options.get("proj_size") or 4
        self.head = nn.Linear(width * (2 if options.get("bidirectional") else 1), 5)

    def forward(self, symbols, targets):
        output, _ = self.rnn(F.one_hot(symbols, 5).double())
        return F.cross_entropy(self.head(output).flatten(0, 1), targets.flatten())


LAYERS = {
    "rnn": ("RNN", {}),
    "relu rnn": ("RNN", {"nonlinearity": "relu", "bias": False}),
    "lstm": ("LSTM", {"num_layers": 2, "bidirectional": True}),
    "lstm with a projection": ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True, "dropout": 0.5}),
    "gru": ("GRU", {"batch_first": True, "bidirectional": True}),
    "gru with dropout between layers": ("GRU", {"num_layers": 3, "dropout": 0.4}),
}


@pytest.mark.parametrize("name", LAYERS)
def test_recurrent_layers_are_opened_into_time_steps(name):
    kind, options = LAYERS[name]
    symbols = torch.randint(0, 5, (4, 3))
    ours = same(CharacterModel(kind, **options), symbols, (symbols + 1) % 5)
    graph = tg.Graph(ours(symbols.numpy(), symbols.numpy()))
    assert graph.steps == tuple(range(3 if options.get("batch_first") else 4))
    assert {"h", "x"} <= {node.role for node in graph.nodes}
    assert any(node.scope.path[:2] == ("rnn", "l0") for node in graph.nodes)
    assert all(node.site is None or node.site.startswith("test_interchange_torch.py") for node in graph.nodes)
