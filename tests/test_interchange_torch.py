"""PyTorch programs brought in: losses, outputs and gradients equal to PyTorch's own."""

import functools
import warnings

import numpy as np
import pytest
from geometry import faults
from nightly import NIGHTLY

import tinygrad_rnn as tg
import viz

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install '.[torch]')")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from tinygrad_rnn import interchange  # noqa: E402
from tinygrad_rnn.errors import UnsupportedError  # noqa: E402

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


# Programs of different kinds ------------------------------------------------------------------------------


class Attending(nn.Module):
    """Sequence to sequence; the decoder attends over the encoder's outputs, padding masked, its own guess fed back."""

    def __init__(self, forced=False):
        super().__init__()
        self.embed = nn.Embedding(7, 4, padding_idx=0)
        self.encoder = nn.GRU(4, 5, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(10, 5)
        self.cell = nn.GRUCell(4 + 10, 5)
        self.score = nn.Linear(5, 10, bias=False)
        self.head = nn.Linear(15, 7)
        self.forced = forced

    def forward(self, source, target):
        outputs, final = self.encoder(self.embed(source))
        state = torch.tanh(self.bridge(torch.cat([final[0], final[1]], dim=-1)))
        mask = source.eq(0)
        symbol, losses = torch.ones(source.size(0), dtype=torch.long), []
        for t in range(target.size(1)):
            energy = torch.bmm(outputs, self.score(state).unsqueeze(2)).squeeze(2)
            weights = energy.masked_fill(mask, float("-inf")).softmax(-1)
            context = torch.einsum("bs,bsd->bd", weights, outputs)
            state = self.cell(torch.cat([self.embed(symbol), context], -1), state)
            logits = self.head(torch.cat((state, context), -1))
            losses.append(F.cross_entropy(logits, target[:, t], ignore_index=0, reduction="sum"))
            symbol = target[:, t] if self.forced else logits.argmax(-1).detach()
        return torch.stack(losses).sum() / (target != 0).sum()


@pytest.mark.parametrize("forced", [True, False])
def test_attention_with_a_mask_and_guesses_fed_back(forced):
    source = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
    ours = same(Attending(forced), source, torch.tensor([[2, 3, 1], [4, 0, 0]]))
    graph = tg.Graph(ours(source.numpy(), np.array([[2, 3, 1], [4, 1, 0]])))
    cells = [node for node in graph.nodes if node.scope.path == ("cell",)]
    assert {node.scope.step for node in cells if node.op is not None} == {0, 1, 2}


class Tagger(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.embed = nn.Embedding(9, 3, padding_idx=0)
        self.rnn = getattr(nn, kind)(3, 4, num_layers=2, bidirectional=True, batch_first=True, dropout=0.3)
        self.head = nn.Linear(8, 4)

    def forward(self, symbols, lengths, tags):
        packed = nn.utils.rnn.pack_padded_sequence(self.embed(symbols), lengths, batch_first=True, enforce_sorted=False)
        output, final = self.rnn(packed)
        padded, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
        scores = self.head(padded)
        final = final[0] if isinstance(final, tuple) else final
        return F.cross_entropy(scores.permute(0, 2, 1), tags, ignore_index=-1), final


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_packed_sequences(kind):
    symbols = torch.tensor([[1, 2, 0, 0], [3, 4, 5, 6], [7, 8, 1, 0]])
    tags = torch.where(symbols > 0, symbols % 4, -1)
    same(Tagger(kind), symbols, torch.tensor([2, 4, 3]), tags)


class LayerNormLSTMCell(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.maps = nn.Linear(inputs + hidden, 4 * hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(5))

    def forward(self, x, state):
        h, c = state
        gates = self.maps(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        i, f, g, o = (norm(gate) for norm, gate in zip(self.norms, gates))
        c = torch.sigmoid(f + 1.0) * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * self.norms[4](c).tanh(), c


class OwnCellLoop(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = LayerNormLSTMCell(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x, y):
        h = c = x.new_zeros(x.shape[1], 4)
        loss = 0
        for x_t, y_t in zip(x, y):
            h, c = self.cell(x_t, (h, c))
            loss += F.mse_loss(self.head(h), y_t)
        return loss / len(x), h


def test_a_cell_of_ones_own_with_layer_norms():
    x, y = torch.randn(4, 2, 3), torch.randn(4, 2, 2)
    ours = same(OwnCellLoop(), x, y)
    graph = tg.Graph(ours(x.numpy(), y.numpy())[0])
    assert graph.steps == (0, 1, 2, 3)
    steps = {node.scope.step for node in graph.nodes if node.op and node.op.name == "getitem" and node.scope.path == ()}
    assert steps == {0, 1, 2, 3}  # the reads of x[t] and y[t], between the cell's calls
    end = graph.nodes[graph.outputs[0]]
    assert end.op.name == "div" and end.scope.step is None


class TiedLanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.rnn = nn.LSTM(4, 4)
        self.head = nn.Linear(4, 6)
        self.head.weight = self.embed.weight
        self.drop = nn.Dropout(0.25)

    def forward(self, symbols):
        output, _ = self.rnn(self.drop(self.embed(symbols[:-1])))
        return F.nll_loss(F.log_softmax(self.head(self.drop(output)), dim=-1).view(-1, 6), symbols[1:].reshape(-1))


def test_tied_weights_are_one_parameter_and_dropout_masks_have_a_name():
    symbols = torch.randint(0, 6, (5, 2))
    ours = same(TiedLanguageModel(), symbols)
    assert ours.head.weight is ours.embed.weight
    graph = tg.Graph(ours(symbols.numpy()))
    assert sum(node.name == "dropout mask" for node in graph.nodes) == 2
    assert sum("dropout" in note for note in ours.import_notes) == 2
    assert all("test_interchange_torch.py:" in note for note in ours.import_notes)


class Memory(nn.Module):
    """A small Turing machine: a memory that is read by attention and written in place."""

    def __init__(self):
        super().__init__()
        self.controller = nn.LSTMCell(3 + 4, 5)
        self.key, self.erase, self.write = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(5, 4)
        self.head = nn.Linear(5 + 4, 2)

    def forward(self, x):
        memory = torch.full((x.shape[1], 6, 4), 0.1)
        read, state = torch.zeros(x.shape[1], 4), None
        outputs = torch.empty(x.shape[0], x.shape[1], 2)
        trace = torch.zeros(x.shape[1], x.shape[0])
        for t in range(x.shape[0]):
            state = self.controller(torch.cat([x[t], read], 1), state)
            key = self.key(state[0])
            weights = F.softmax(F.cosine_similarity(memory, key[:, None], dim=-1), dim=-1)
            memory = memory * (1 - weights[:, :, None] * self.erase(state[0]).sigmoid()[:, None])
            memory[:, t] = memory[:, t] + self.write(state[0])
            memory[:, 0].mul_(0.5)
            read = (weights.unsqueeze(1) @ memory).squeeze(1)
            outputs[t] = self.head(torch.cat([state[0], read], 1))
            trace[:, t] = outputs[t].detach().abs().sum(-1)
        return outputs, trace, memory.norm()


def test_buffers_written_in_place_through_views():
    same(Memory(), torch.randn(4, 2, 3))


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.own = nn.Linear(6, 18)
        self.norm = nn.LayerNorm(6)

    def forward(self, x, padding):
        a, weights = self.attention(x, x, x, key_padding_mask=padding)
        q, k, v = self.own(self.norm(x + a)).chunk(3, -1)
        causal = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return causal, weights


def test_masked_attention():
    padding = torch.tensor([[False, False, False, True], [False, False, True, True]])
    same(Masked(), torch.randn(2, 4, 6), padding)


class Clockwork(nn.Module):
    """Two groups of units; the second moves every other step, and skips to the state of two steps ago."""

    def __init__(self):
        super().__init__()
        self.w, self.u = nn.Parameter(torch.randn(6, 3)), nn.Parameter(torch.randn(6, 6) / 3)
        self.register_buffer("fast", torch.tensor([1.0, 1, 1, 0, 0, 0]))

    def forward(self, x):
        states = [torch.zeros(x.shape[1], 6)]
        for t in range(x.shape[0]):
            new = torch.tanh(x[t] @ self.w.t() + states[-1].matmul(self.u.T))
            if t % 2:
                new = new * self.fast + states[-1] * (1.0 - self.fast)
            if t >= 2:
                new = torch.lerp(new, states[t - 1], 0.25)
            states.append(new)
        return torch.stack(states[1:], dim=1).cumsum(1)


def test_a_clockwork_network():
    same(Clockwork(), torch.randn(5, 2, 3))


class Pooled(nn.Module):
    """A classifier: the last live state by gather, the maximum over time, and a mean that knows the lengths."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(24, 5), nn.ReLU(), nn.Linear(5, 3))

    def forward(self, x, lengths, target):
        output, _ = self.rnn(x)
        mask = torch.arange(x.shape[1])[None, :] < lengths[:, None]
        last = output.gather(1, (lengths - 1).view(-1, 1, 1).expand(-1, 1, output.shape[2])).squeeze(1)
        largest = torch.where(mask.unsqueeze(-1), output, torch.tensor(-1e9)).max(dim=1).values
        mean = (output * mask.unsqueeze(2)).sum(dim=1) / lengths.unsqueeze(1)
        scores = self.head(torch.cat([last, largest, mean], dim=1))
        picked = output[torch.arange(len(lengths)), lengths - 1]
        return F.cross_entropy(scores, target, label_smoothing=0.1), picked


def test_gather_where_and_masked_pooling_follow_other_lengths():
    program, x, target = Pooled(), torch.randn(3, 5, 3), torch.tensor([0, 2, 1])
    ours = same(program, x, torch.tensor([5, 2, 4]), target)
    lengths = torch.tensor([1, 5, 3])
    expected = program(x, lengths, target)
    for a, b in zip(ours(x.numpy(), lengths.numpy(), target.numpy()), expected, strict=True):
        close(a.numpy(), b)


class Sampling(nn.Module):
    """Scheduled sampling: at half of the steps the network reads its own most likely symbol."""

    def __init__(self):
        super().__init__()
        self.embed, self.cell, self.head = nn.Embedding(5, 3), nn.RNNCell(3, 4, nonlinearity="relu"), nn.Linear(4, 5)

    def forward(self, symbols):
        h, x, losses = torch.zeros(symbols.shape[1], 4), symbols[0], []
        for t in range(1, len(symbols)):
            h = self.cell(self.embed(x), h)
            logits = self.head(h)
            losses.append(F.cross_entropy(logits, symbols[t]))
            with torch.no_grad():
                guess = torch.softmax(logits, -1).argmax(1)
                own = torch.rand(symbols.shape[1]) < 0.5
            x = torch.where(own, guess, symbols[t])
        return sum(losses) / len(losses)


def test_scheduled_sampling():
    same(Sampling(), torch.randint(0, 5, (6, 3)))


class Truncated(nn.Module):
    """Two windows; the state is cut between them, and a branch looks at its size."""

    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.GRU(2, 3), nn.Linear(3, 1)

    def forward(self, x, y):
        h, loss = None, 0.0
        for window, wanted in zip(x.split(3), y.split(3)):
            output, h = self.rnn(window, h)
            loss = loss + F.binary_cross_entropy_with_logits(self.head(output), wanted)
            h = h.detach()
            if h.abs().max() > 100:
                h = h * 0.0
        with torch.no_grad():
            scale = h.norm()
        return loss * scale


def test_detach_no_grad_and_branches():
    ours = same(Truncated(), torch.randn(6, 2, 2), torch.rand(6, 2, 1).round())
    assert any("bool" in note for note in ours.import_notes)
    graph = tg.Graph(ours(np.ones((6, 2, 2)), np.ones((6, 2, 1))))
    assert graph.steps == tuple(range(6))


def test_random_numbers_that_no_tensor_went_into_are_noted_too():
    """Such as the coin that is tossed for each step of scheduled sampling."""
    cell = nn.RNNCell(2, 2)

    def forced(x):
        h = torch.zeros(1, 2)
        for t in range(2):
            h = cell(x[t] if torch.rand(1).item() < 0.5 else h, h)
        return h + torch.randn(1, 2) * 0.0

    with pytest.warns(interchange.ForeignWarning) as said:
        notes = interchange.from_torch(forced, torch.ones(2, 1, 2)).import_notes
    assert {each.filename for each in said} == {__file__}
    assert [note.split(" (")[0] for note in notes] == [
        f"{name}: the random numbers stay as they were drawn" for name in ("rand", "randn")
    ]


def test_a_function_of_modules_and_tensors():
    cell, w = nn.GRUCell(2, 3), torch.randn(3, requires_grad=True)
    x = torch.randn(4, 2, 2)

    def loss():
        h = torch.zeros(2, 3)
        for t in range(4):
            h = cell(x[t], h)
        return ((h * w) ** 2).mean()

    ours = same(loss, parameters={**dict(cell.named_parameters()), "w": w})
    assert {name for name, _ in ours.named_parameters()} == {"weight_ih", "weight_hh", "bias_ih", "bias_hh", "w"}
    assert "x" in {node.name for node in tg.Graph(ours()).nodes}


SCALE = torch.full((3,), 0.5, dtype=torch.float64, requires_grad=True)


def scaled(h):
    return h * SCALE


class Unit:
    """A cell that is no module: its weights are attributes and entries."""

    def __init__(self):
        self.W = torch.randn(3, 3, requires_grad=True)
        self.biases = {"b": torch.randn(3, requires_grad=True)}

    def __call__(self, h):
        return torch.tanh(h @ self.W + self.biases["b"])


class Scaling(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        return scaled(self.linear(x))


def test_weights_of_helpers_and_objects_are_parameters():
    """They were constants, without a word, where a helper, an object or a module took them from elsewhere."""
    unit, module, x = Unit(), Scaling(), torch.randn(2, 3)
    known = {"W": unit.W, "biases.b": unit.biases["b"]}

    def run():
        return scaled(unit(scaled(unit(x))))

    same(lambda: run().sum(), parameters={"SCALE": SCALE, **known})
    same(functools.partial(unit, x), parameters=known)
    same(module, x, parameters={**dict(module.named_parameters()), "SCALE": SCALE})


class Odd(nn.Module):
    """Calls that no table of ours names: PyTorch takes them apart."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(3, 4)

    def forward(self, x):
        output, _ = self.rnn(x)
        wide = x[..., :1].expand(-1, -1, 4)
        a = F.gelu(output, approximate="tanh") + F.tanhshrink(output)
        b = F.selu(output)
        c = (
            F.smooth_l1_loss(output, wide)
            + F.huber_loss(output, wide)
            + F.kl_div(output, output.softmax(-1), reduction="batchmean")
        )
        return a, b, c, output.std(dim=0), torch.addcmul(output, output, output, value=2.0)


def test_calls_without_a_name_are_taken_apart():
    same(Odd(), torch.randn(3, 2, 3))


class Distances(nn.Module):
    """Calls about lengths, angles and sums of exponentials, and nonlinearities that write in place."""

    def forward(self, x):
        rows, side = x[0], torch.tensor([1.0, -1.0])
        return (
            torch.hypot(x, x[:1] * 2),
            torch.logcumsumexp(x * 400, 0),
            torch.cdist(x, x + 1.0),
            torch.cdist(rows, rows * 2 + 1, p=1.0),
            F.cosine_embedding_loss(rows, x[1], side, margin=0.1),
            nn.CosineEmbeddingLoss(reduction="none")(rows, x[1], side),
            F.mish(x * 2, inplace=True) + F.hardtanh(x * 3, -0.5, 1.0) + nn.Hardtanh(inplace=True)(x * 4),
        )


def test_distances_and_limits():
    same(Distances(), torch.randn(3, 2, 3))


class InPlace(nn.Module):
    """Calls that write, and are taken apart: made once more, they begin with what was there before them."""

    def forward(self, x):
        y = (x * 2).addcmul_(x, x, value=0.5).addcdiv_(x, x.abs() + 1.0)
        return F.leaky_relu(y, 0.1, inplace=True) + (x * 3).frac_()


def test_calls_in_place_without_a_name_are_taken_apart():
    same(InPlace(), torch.randn(3, 2, 3))


class Encoder(nn.Module):
    """Layers that leave a tensor's elements in another order, dropped at random: the mask is drawn in that order."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.3, batch_first=True, activation="gelu")
        self.rnn = nn.GRU(4, 3, batch_first=True)

    def forward(self, x, padded):
        return self.rnn(self.layer(x, src_key_padding_mask=padded))[0]


def test_an_encoder_with_dropout_in_front_of_a_recurrent_layer():
    same(Encoder(), torch.randn(2, 4, 4), torch.tensor([[False] * 4, [False, False, True, True]]))


class Listening(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(nn.Conv1d(3, 4, 3, 2, padding=1), nn.BatchNorm1d(4), nn.ReLU(), nn.MaxPool1d(2))
        self.rnn = nn.LSTM(4, 4, batch_first=True)
        self.norm, self.back = nn.GroupNorm(2, 4), nn.ConvTranspose1d(4, 2, 3, stride=2, output_padding=1)

    def forward(self, x):
        heard, _ = self.rnn(self.front(x).transpose(1, 2))
        return self.back(self.norm(F.dropout1d(heard.transpose(1, 2)))), F.avg_pool1d(heard.transpose(1, 2), 2)


def test_convolutions_and_normalisation_around_a_recurrent_layer():
    same(Listening(), torch.randn(2, 3, 12))


def test_bags_of_symbols():
    class Bags(nn.Module):
        def __init__(self):
            super().__init__()
            self.sums = nn.EmbeddingBag(6, 3, mode="sum")
            self.means = nn.EmbeddingBag(6, 3, mode="mean", padding_idx=1)
            self.often = nn.Embedding(6, 3, scale_grad_by_freq=True, padding_idx=2)

        def forward(self, symbols, starts, weights):
            return (
                self.sums(symbols, starts, per_sample_weights=weights), self.means(symbols, starts),
                self.often(symbols.reshape(3, 2)),
            )  # fmt: skip

    same(Bags(), torch.tensor([1, 2, 3, 3, 5, 3]), torch.tensor([0, 2, 2]), torch.rand(6))


class Sundry(nn.Module):
    """Calls that a table of ours names, or that it takes PyTorch to take apart."""

    def __init__(self):
        super().__init__()
        self.x, self.y = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(3, 4))

    def forward(self, at):
        x, y = self.x, self.y
        return (
            x.expm1() + (x.abs() + 1).log2() + x.erf() + x.sinh() + x.tan() + x.frac() + x.ceil() * y,
            x % 0.7 + torch.remainder(x, y) + x.fmod(0.7) + torch.div(x, y, rounding_mode="trunc") * x,
            x.median(1).values + x.kthvalue(2, 1)[0] + x.cummax(1)[0][:, -1] + x.cummin(0).values.sum(),
            x.unfold(1, 2, 1), x.masked_select(y > 0), x.index_add(1, at, y[:, :2]), x.index_copy(1, at, y[:, :2]),
            x.index_put((at, at), y[0, :2], accumulate=True), F.unfold(x[None, None], 2), torch.logical_not(x > 0) * y,
            x.roll(1) + x.roll((1, -2), (0, 1)), x.index_select(1, at), F.cosine_similarity(x, y[:1]) * x[:, 0],
            F.pad(x, (1, -1), value=2.0), F.pad(x, (2, 0), "circular"), F.pad(x[None], (1, 1), "reflect"),
        )  # fmt: skip


def test_sundry_calls():
    same(Sundry(), torch.tensor([2, 0]))


# What users do to gradients ------------------------------------------------------------------------------


def test_hooks_of_tensors_and_parameters():
    class Clipped(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.RNNCell(3, 4)
            self.cell.weight_ih.register_hook(lambda g: g * torch.arange(3.0).double())

        def forward(self, x):
            h, total = torch.zeros(x.shape[1], 4), 0
            for x_t in x:
                h = self.cell(x_t, h)
                total = total + h.square()  # before the hook: it gets the whole gradient all the same
                h.register_hook(lambda g: g.clamp(-0.1, 0.1))
                h.register_hook(lambda g: None)
            return total.sum()

    x = torch.randn(4, 2, 3)
    ours = same(Clipped(), x)
    report = tg.check_gradients(ours(x.numpy()), raise_exception=False)
    assert report.verdict == "failed" and "hook <lambda>" in report.blame


def test_gradients_taken_inside_a_program():
    class Fast(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.RNN(3, 4)

        def forward(self, x):
            weights = dict(self.net.named_parameters())
            first = self.net(x)[0].square().mean()
            steps = torch.autograd.grad(first, list(weights.values()), create_graph=True)
            moved = {name: w - 0.5 * g for (name, w), g in zip(weights.items(), steps)}
            return torch.func.functional_call(self.net, moved, (x,))[0].square().mean()

    same(Fast(), torch.randn(3, 2, 3))


class LastState(nn.Module):
    def __init__(self, both_ways):
        super().__init__()
        self.rnn = nn.LSTM(2, 3, num_layers=2 if both_ways else 1, bidirectional=both_ways)

    def forward(self, x, lengths):
        return self.rnn(nn.utils.rnn.pack_padded_sequence(x, lengths))[1][0].square().sum()


@pytest.mark.parametrize("both_ways", [False, True])
def test_packed_sequences_are_drawn_as_steps_of_one_cell(both_ways):
    """What is over is read from the state it ended in, and the zeros of PyTorch's own are the first states."""
    ours = same(LastState(both_ways), torch.randn(4, 3, 2), torch.tensor([4, 3, 2]))
    dot = viz.render(ours(tg.ones(4, 3, 2).double(), np.array([4, 3, 2]))).dot
    arrows = ("→", "←") if both_ways else ("",)
    layers = ("⁽¹⁾", "⁽²⁾") if both_ways else ("",)
    first = {f'"{state}{layer}{arrow}₀ = 0"' for state in "hc" for layer in layers for arrow in arrows}
    assert all(name in dot for name in first) and "h′" not in dot and "x⁽" not in dot
    assert "not drawn alike" not in dot and faults(dot) == []


@pytest.mark.parametrize("method", [True, False])
def test_a_penalty_on_the_gradient_of_what_had_none(method):
    """As a critic of sequences has it: gradients are asked for of a mixture of two inputs."""

    class Critic(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.score = nn.GRUCell(3, 4), nn.Linear(4, 1)

        def forward(self, real, made):
            mixed = 0.3 * real.detach() + 0.7 * made.detach()
            if method:
                mixed.requires_grad_()
            else:
                mixed.requires_grad = True
            h = torch.zeros(2, 4)
            for x in mixed:
                h = self.cell(x, h)
            (slope,) = torch.autograd.grad(self.score(h).sum(), mixed, create_graph=True)
            return ((slope.norm(dim=-1) - 1) ** 2).mean()

    same(Critic(), torch.randn(3, 2, 3), torch.randn(3, 2, 3))


def test_rows_of_vmap_are_gone_through_one_by_one():
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.Linear(7, 4)

        def forward(self, x):
            def one(sequence, scale):
                h = torch.zeros(4)
                for x_t in sequence:
                    h = self.cell(torch.cat([x_t, h])).tanh()
                return {"last": h * scale, "scale": scale}

            made = torch.vmap(one, (1, None), {"last": 1, "scale": None})(x, x.sum())
            return made["last"], made["scale"]

    ours = same(Rows(), torch.randn(5, 2, 3))
    assert tg.Graph(ours(np.ones((5, 2, 3)))[0]).steps == tuple(range(5))


@pytest.mark.skipif(not NIGHTLY, reason="PyTorch's compiler takes long to import; HYPOTHESIS_PROFILE=nightly runs it")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_compiled_module_is_the_one_it_was_made_of():
    ours = same(torch.compile(nn.LSTM(3, 4)), torch.randn(3, 2, 3))
    assert next(name for name, _ in ours.named_parameters()) == "_orig_mod.weight_ih_l0"


# What is wrong, and what cannot come in --------------------------------------------------------------------


class WrongTanh(torch.autograd.Function):
    """A backward pass that forgets the square."""

    @staticmethod
    def forward(ctx, x):
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * (1 - y)


class RightProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, factor):
        ctx.save_for_backward(x, y)
        ctx.factor = factor
        return x * y * factor, x + y

    @staticmethod
    def backward(ctx, g, h):
        x, y = ctx.saved_tensors
        return g * y * ctx.factor + h, g * x * ctx.factor + h, None


class Custom(nn.Module):
    def __init__(self, function=WrongTanh.apply):
        super().__init__()
        self.w, self.u = nn.Linear(3, 4), nn.Linear(4, 4)
        self.function = function

    def forward(self, x):
        h = torch.zeros(x.shape[1], 4)
        for x_t in x:
            h = self.function(self.w(x_t) + self.u(h))
        return h.square().sum()


def test_a_wrong_backward_is_kept_and_found():
    x = torch.randn(4, 2, 3)
    ours = same(Custom(), x)
    report = tg.check_gradients(ours(x.numpy()), raise_exception=False)
    assert report.verdict == "failed"
    assert "WrongTanh" in report.blame and "test_interchange_torch.py:" in report.blame


def test_a_right_backward_passes():
    def both(x):
        y, z = RightProduct.apply(x, x.tanh(), 0.5)
        return y + z

    x = torch.randn(3, 2, 3)
    ours = same(Custom(both), x)
    assert tg.check_gradients(ours(x.numpy())).method == "complex-step"


def test_everything_unsupported_is_said_at_once():
    w = torch.randn(4, 4, requires_grad=True)

    def program():
        a = torch.linalg.qr(w)[0]
        return torch.fft.rfft(w).abs().sum() + torch.linalg.svdvals(w).sum() + a.sum()

    with pytest.raises(UnsupportedError) as caught:
        interchange.from_torch(program)
    message = str(caught.value)
    assert "qr" in message and "svd" in message and "\n" not in message
    assert message.count("test_interchange_torch.py:") >= 2


def test_what_follows_something_unsupported_is_looked_at_too():
    w = torch.randn(4, 4, requires_grad=True)

    def program():
        return torch.linalg.inv(torch.linalg.qr(w)[0].tanh()).sum() + torch.fft.rfft(w).abs().sum()

    with pytest.raises(UnsupportedError) as caught:
        interchange.from_torch(program)
    message = str(caught.value)
    assert all(name in message for name in ("qr", "fft_rfft", "inv")) and "Backward" not in message


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_value_that_nothing_saw_is_no_constant():
    """Its gradient would be lost without a word."""

    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = torch.jit.trace(nn.GRUCell(3, 4), (torch.zeros(2, 3), torch.zeros(2, 4)))

        def forward(self, x):
            return self.cell(x[1], self.cell(x[0], torch.zeros(2, 4))).sum()

    w = torch.randn(3, requires_grad=True)
    before = w * 2
    hooked = nn.Sequential(nn.Linear(3, 4))
    hooked[0].register_full_backward_hook(lambda module, inputs, outputs: None)
    x = torch.randn(2, 2, 3)
    for program, said in (
        (Cell(), "PYTORCH_JIT=0"), (lambda x: x * before, "before the import"), (hooked, "hook of module 0"),
        (lambda x: torch.func.grad(lambda h: (w * h).sum())(x[0, 0]), "torch.func"),
    ):  # fmt: skip
        with pytest.raises(UnsupportedError, match=said) as caught:
            interchange.from_torch(program, x)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.1}, {"weight": torch.tensor([0.5, 1.0, 2.0]).double()}])
def test_a_mean_counts_the_targets_of_each_call(settings):
    def loss(x, target):
        return F.cross_entropy(x, target, **settings)

    x, ignored = torch.randn(4, 3), torch.tensor([2, -100, 0, -100])
    ours = interchange.from_torch(loss, (x, torch.tensor([0, 1, 2, 0])))  # none to ignore in the example
    close(ours(x.numpy(), ignored.numpy()).numpy(), loss(x, ignored))
