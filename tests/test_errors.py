"""What a user meets who does something wrong: one line that says what, where, and what to do."""

import copy
import inspect
import os
import warnings
from functools import partial

import numpy as np
import pytest
from conftest import nothing_left_behind

import tinygrad_rnn as tg
from tinygrad_rnn import nn

F = nn.functional


def t(*shape, name=None, dtype=np.float32):
    return tg.tensor(np.zeros(shape), dtype=dtype, requires_grad=np.dtype(dtype).kind == "f", name=name)


class Refusing:
    """As a tensor of PyTorch's that requires a gradient."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("first detach()")


#: what is done, the error's class, and words its line must have
OPERATIONS = {
    "add": (
        lambda: t(2, 3, name="a") + t(2, 4, name="b"),
        tg.ShapeError,
        ["add", "a (2, 3)", "b (2, 4)", "dimension -1 is 3"],
    ),
    "sub array": (lambda: np.zeros(3) - t(2, name="b"), tg.ShapeError, ["sub", "(3,)", "b (2,)"]),
    "mul": (lambda: t(2, name="a") * [1.0, 2.0, 3.0], tg.ShapeError, ["mul", "a (2,)", "(3,)"]),
    "where": (lambda: tg.where(t(2) > 0, t(3, name="a"), 0.0), tg.ShapeError, ["where", "a (3,)", "(2,)"]),
    "maximum": (lambda: tg.maximum(t(2), t(3)), tg.ShapeError, ["maximum", "(2,)", "(3,)"]),
    "matmul": (
        lambda: t(2, 3, name="W") @ t(2, 3, name="x"),
        tg.ShapeError,
        ["matmul", "W (2, 3)", "x (2, 3)", "second to last dimension of operand 1 is 2", "transpose"],
    ),
    "matmul vectors": (lambda: t(3) @ t(2), tg.ShapeError, ["operand 0 is 3", "only dimension of operand 1 is 2"]),
    "matmul scalar": (lambda: t(2, name="W") @ 3.0, tg.ShapeError, ["matmul", "W (2,)"]),
    "matmul batches": (lambda: t(2, 3, 3) @ t(4, 3, 3), tg.ShapeError, ["matmul", "(2, 3, 3)", "(4, 3, 3)"]),
    "outer": (lambda: tg.outer(t(2), t(2, 2)), tg.ShapeError, ["outer", "(2, 2)"]),
    "einsum size": (lambda: tg.einsum("ij,jk->ik", t(2, 3), t(4, 5)), tg.ShapeError, ["einsum", "'j'", "3", "4"]),
    "einsum rank": (lambda: tg.einsum("ij->i", t(2)), tg.ShapeError, ["einsum", "'ij'"]),
    "einsum count": (lambda: tg.einsum("i,j->i", t(2)), tg.ShapeError, ["einsum", "2 operand"]),
    "einsum output": (lambda: tg.einsum("i->j", t(2)), tg.ShapeError, ["einsum", "'j'"]),
    "einsum repeated": (lambda: tg.einsum("ii", t(2, 3)), tg.ShapeError, ["einsum", "(2, 3)"]),
    "sum": (lambda: t(2, 3, name="x").sum(2), tg.ShapeError, ["sum", "x (2, 3)", "axis 2"]),
    "sum twice": (lambda: t(2, 3).sum((0, 0)), tg.ShapeError, ["sum", "twice"]),
    "mean": (lambda: t(2, 3).mean(dim=5), tg.ShapeError, ["axis 5"]),
    "softmax": (lambda: t(2, 3, name="logits").softmax(-3), tg.ShapeError, ["softmax", "logits (2, 3)", "axis -3"]),
    "argmax": (lambda: t(2, 3).argmax(2), tg.ShapeError, ["argmax", "axis 2"]),
    "max of nothing": (lambda: t(0, name="x").max(), tg.ShapeError, ["max", "x (0,)", "no maximum"]),
    "cumsum": (lambda: t(2).cumsum(1), tg.ShapeError, ["cumsum", "axis 1"]),
    "prod": (lambda: t(2).prod(1), tg.ShapeError, ["axis 1"]),
    "reshape": (
        lambda: t(2, 3, name="x").reshape(4, 2),
        tg.ShapeError,
        ["reshape", "x (2, 3)", "6 elements", "(4, 2)"],
    ),
    "reshape free": (lambda: t(2, 3).reshape(-1, -1), tg.ShapeError, ["reshape", "one -1"]),
    "reshape negative": (lambda: t(2, 3).reshape(-2, 3), tg.ShapeError, ["(-2, 3)", "no other negative size"]),
    "reshape uneven": (lambda: t(2, 3).reshape(4, -1), tg.ShapeError, ["6 elements cannot be spread over (4, -1)"]),
    "reshape nothing": (lambda: t(0, 3).reshape(0, -1), tg.ShapeError, ["0 elements cannot be spread over (0, -1)"]),
    "permute": (lambda: t(2, 3).permute(0, 0), tg.ShapeError, ["permute", "(0, 0)"]),
    "transpose": (lambda: t(2, 3).transpose(0, 2), tg.ShapeError, ["axis 2"]),
    "broadcast_to": (lambda: t(2, 3, name="x").broadcast_to(2, 4), tg.ShapeError, ["broadcast", "x (2, 3)", "4"]),
    "broadcast_to less": (lambda: t(2, 3).broadcast_to(3), tg.ShapeError, ["broadcast_to", "(2, 3)", "(3,)"]),
    "squeeze": (lambda: t(2, 3).squeeze(0), tg.ShapeError, ["squeeze", "axis 0", "(2, 3)"]),
    "expand_dims": (lambda: t(2).expand_dims(3), tg.ShapeError, ["axis 3"]),
    "concat": (lambda: tg.concat([t(2, 3), t(3, 2)]), tg.ShapeError, ["concat", "operand 1", "(3, 2)", "(2, 3)"]),
    "concat nothing": (lambda: tg.concat([]), tg.ShapeError, ["concat", "at least one"]),
    "concat scalars": (lambda: tg.concat([t(), t()]), tg.ShapeError, ["concat"]),
    "stack": (lambda: tg.stack([t(2), t(3)]), tg.ShapeError, ["operand 1 has shape (3,)", "operand 0 has (2,)"]),
    "split": (lambda: t(5).split([2, 2]), tg.ShapeError, ["split", "5"]),
    "split by zero": (lambda: t(5).split(0), tg.ShapeError, ["split", "0"]),
    "chunk by zero": (lambda: t(5).chunk(0), tg.ShapeError, ["chunk", "0"]),
    "pad": (lambda: t(2).pad((-1, 1)), tg.ShapeError, ["pad", "negative"]),
    "pad ranks": (lambda: t(2).pad([(1, 1), (1, 1), (1, 1)]), tg.ShapeError, ["pad"]),
    "clip": (lambda: t(2).clip(), tg.ArgumentError, ["clip"]),
    "index": (lambda: t(2, 3, name="x")[5], tg.OutOfRangeError, ["getitem", "x (2, 3)", "5"]),
    "too many indices": (lambda: t(2)[0, 0], tg.OutOfRangeError, ["getitem", "(2,)"]),
    "index array": (lambda: t(2)[[0, 7]], tg.OutOfRangeError, ["getitem", "7"]),
    "mask": (lambda: t(3)[[True, False]], tg.OutOfRangeError, ["getitem", "3"]),
    "float index": (lambda: t(2)[1.5], tg.DTypeError, ["indices"]),
    "take": (
        lambda: tg.take(t(3, 2, name="E"), [[0, 3]]),
        tg.OutOfRangeError,
        ["take", "E (3, 2)", "index 3", "(0, 1)", "0 to 2"],
    ),
    "take beyond": (lambda: tg.take(t(3, 7), 5), tg.OutOfRangeError, ["index 5 is outside the 3 rows"]),
    "one_hot": (lambda: tg.one_hot([1, 0], 1), tg.OutOfRangeError, ["target 1 at position (0,)", "1 classes"]),
    "take negative": (lambda: tg.take(t(3, 2), -1), tg.OutOfRangeError, ["take", "index -1"]),
    "take floats": (lambda: tg.take(t(3, 2), [0.5]), (tg.OutOfRangeError, tg.DTypeError), ["take", "integers"]),
    "text": (lambda: t(2) + "text", tg.DTypeError, ["'text'", "no number"]),
    "cuda": (lambda: t(2).cuda(), tg.ArgumentError, ["memory of the processor", "'cuda'"]),
    "module cuda": (lambda: nn.Linear(2, 2).cuda(0), tg.ArgumentError, ["memory of the processor"]),
    "misspelt": (lambda: nn.Linear(2, 2, biass=True), tg.KeywordError, ["Linear", "'biass'", "did you mean 'bias'?"]),
    "unknown": (lambda: tg.optim.SGD([t()], learning_rate=0.1), tg.KeywordError, ["SGD", "it has params, lr,"]),
    "None": (lambda: t(2) * None, tg.DTypeError, ["None (NoneType)", "no number"]),
    "complex": (lambda: t(2) * 1j, tg.DTypeError, ["complex"]),
    "huge integer": (lambda: t(2) * 10**400, tg.DTypeError, ["mul", "too large", "10000"]),
    "integer matmul scalar": (lambda: tg.tensor([1, 2]) @ 3, tg.ShapeError, ["matmul", "0-dimensional"]),
    "ragged tensors": (lambda: tg.tensor([t(2), t(3)]), tg.ShapeError, ["ragged"]),
    "masked array": (
        lambda: tg.tensor(np.ma.array([1.0, 2.0], mask=[False, True])),
        tg.DTypeError,
        ["masked array", "filled"],
    ),
    "array that refuses": (lambda: tg.tensor(Refusing()), tg.DTypeError, ["Refusing", "no number", "first detach()"]),
    "axis text": (lambda: t(2, 3).sum("x"), tg.DTypeError, ["an axis must be an integer", "'x'"]),
    "axis float": (lambda: t(2, 3).softmax(1.0), tg.DTypeError, ["an axis must be an integer", "1.0"]),
    "concat axis": (lambda: tg.concat([t(2), t(2)], None), tg.DTypeError, ["an axis", "None"]),
    "concat one": (lambda: tg.concat(3), tg.DTypeError, ["concat", "list of tensors", "int"]),
    "size float": (lambda: t(4).reshape(2.5, 2), tg.DTypeError, ["a size must be an integer", "2.5"]),
    "size dim": (lambda: t(4).size(1), tg.ShapeError, ["size", "axis 1"]),
    "size negative": (lambda: tg.zeros(2, -1), tg.ShapeError, ["negative", "(2, -1)"]),
    "slice float": (lambda: t(4)[0.5:2], tg.DTypeError, ["a slice's bound must be an integer", "0.5"]),
    "pad array": (lambda: t(2).pad(np.zeros((3, 3))), tg.ShapeError, ["pad", "[[0. 0. 0.] [0. 0. 0.]"]),
    "one_hot classes": (lambda: tg.one_hot([0], None), tg.DTypeError, ["num_classes", "None"]),
    "einsum order": (lambda: tg.einsum(t(2), "i->i"), tg.DTypeError, ["einsum", "subscripts come first"]),
    "grad of a list": (lambda: tg.grad([t(), 3.0], t()), tg.DTypeError, ["grad", "float"]),
}

LAYERS = {
    "Linear": (
        lambda: nn.Linear(3, 2)(t(5, 4, name="x")),
        tg.ShapeError, ["linear", "x (5, 4)", "weight (2, 3)", "4", "3 features"],
    ),
    "Linear scalar": (lambda: nn.Linear(3, 2)(1.0), tg.ShapeError, ["linear"]),
    "linear weight": (lambda: F.linear(t(3), t(3), None), tg.ShapeError, ["linear", "2 dimensions"]),
    "linear bias": (lambda: F.linear(t(3), t(2, 3), t(3, name="b")), tg.ShapeError, ["linear", "b (3,)", "2 features"]),
    "Embedding": (lambda: nn.Embedding(5, 2)([[1, 5]]), tg.OutOfRangeError, ["index 5", "5 rows", "weight"]),
    "Embedding floats": (lambda: nn.Embedding(5, 2)([1.0]), tg.TinygradError, ["integers"]),
    "RNN rank": (lambda: nn.RNN(3, 2)(t(3)), tg.ShapeError, ["RNN", "(3,)", "(T, N, 3)"]),
    "RNN features": (lambda: nn.RNN(3, 2)(t(4, 5, 2, name="x")), tg.ShapeError, ["RNN", "x (4, 5, 2)", "(T, N, 3)"]),
    "GRU batch_first": (lambda: nn.GRU(3, 2, batch_first=True)(t(4, 5, 2)), tg.ShapeError, ["GRU", "(N, T, 3)"]),
    "LSTM no steps": (lambda: nn.LSTM(3, 2)(t(0, 5, 3)), tg.ShapeError, ["LSTM", "no time steps"]),
    "LSTM state": (
        lambda: nn.LSTM(3, 2)(t(4, 5, 3), (t(1, 5, 2), t(1, 4, 2))),
        tg.ShapeError, ["c_0", "(1, 4, 2)", "(1, 5, 2)"],
    ),
    "LSTM no pair": (lambda: nn.LSTM(3, 2)(t(4, 5, 3), t(1, 5, 2)), tg.ShapeError, ["LSTM", "pair"]),
    "GRU state": (lambda: nn.GRU(3, 2, num_layers=2)(t(4, 5, 3), t(1, 5, 2)), tg.ShapeError, ["h_0", "(2, 5, 2)"]),
    "lengths count": (
        lambda: nn.RNN(3, 2)(t(4, 2, 3), lengths=[1]),
        tg.ShapeError, ["lengths", "2 integers from 1 to 4"],
    ),
    "lengths range": (lambda: nn.RNN(3, 2)(t(4, 2, 3), lengths=[0, 4]), tg.ShapeError, ["lengths", "[0, 4]"]),
    "lengths long": (lambda: nn.RNN(3, 2)(t(4, 2, 3), lengths=[5, 4]), tg.ShapeError, ["lengths", "[5, 4]"]),
    "lengths dtype": (lambda: nn.RNN(3, 2)(t(4, 2, 3), lengths=[1.0, 2.0]), tg.DTypeError, ["lengths", "integers"]),
    "cell input": (lambda: nn.LSTMCell(3, 2)(t(5, 4)), tg.ShapeError, ["LSTMCell", "(5, 4)", "(batch, 3)"]),
    "cell state": (lambda: nn.GRUCell(3, 2)(t(5, 3), t(5, 3)), tg.ShapeError, ["GRUCell", "(5, 3)", "(5, 2)"]),
    "cell pair": (lambda: nn.LSTMCell(3, 2)(t(5, 3), t(5, 2)), tg.ShapeError, ["LSTMCell", "pair"]),
    "step": (lambda: nn.RNN(3, 2).step(t(5, 4)), tg.ShapeError, ["RNN.step", "(N, 3)"]),
    "step both ways": (lambda: nn.RNN(3, 2, bidirectional=True).step(t(5, 3)), tg.ShapeError, ["bidirectional"]),
    "LSTM state number": (lambda: nn.LSTM(3, 2)(t(4, 5, 3), 3), tg.ShapeError, ["LSTM", "pair"]),
    "cell state number": (lambda: nn.LSTMCell(3, 2)(t(5, 3), 3), tg.ShapeError, ["LSTMCell", "pair"]),
    "dropout": (lambda: nn.Dropout(1.5), tg.ArgumentError, ["probability", "1.5"]),
    "learning rate": (lambda: tg.optim.Adam([t(2)], lr=-1), tg.ArgumentError, ["Adam", "lr", "-1"]),
    "ignore_index": (lambda: F.cross_entropy(t(2), 1, None), tg.DTypeError, ["ignore_index", "None"]),
    "load_state_dict": (lambda: nn.Linear(3, 2).load_state_dict(None), tg.ArgumentError, ["mapping", "NoneType"]),
    "sizes": (lambda: nn.LSTM(3, 0), tg.ShapeError, ["LSTM", "hidden_size", "0"]),
    "sizes float": (lambda: nn.Linear(2.5, 1), tg.ShapeError, ["Linear", "in_features", "2.5"]),
    "layers": (lambda: nn.GRU(3, 2, num_layers=0), tg.ShapeError, ["GRU", "num_layers"]),
    "nonlinearity": (lambda: nn.RNN(3, 2, nonlinearity="sin"), tg.ArgumentError, ["tanh", "'sin'"]),
    "cross_entropy shape": (
        lambda: F.cross_entropy(t(4, 3, name="logits"), [0, 1]),
        tg.ShapeError, ["logits (4, 3)", "wants targets of shape (4,)", "(2,)"],
    ),
    "cross_entropy over time": (
        lambda: F.cross_entropy(t(2, 3, 4), [[0, 1, 2]]),
        tg.ShapeError, ["wants targets of shape (2, 4)", "(1, 3)"],
    ),
    "cross_entropy classes last": (
        lambda: F.cross_entropy(t(2, 5, 4), [[0] * 5] * 2),
        tg.ShapeError, ["wants targets of shape (2, 4)", "classes are dimension 1", ".permute(0, 2, 1)"],
    ),
    "nll_loss time first": (
        lambda: F.nll_loss(t(5, 2, 4), [[0] * 5] * 2),
        tg.ShapeError, ["the batch is dimension 0", ".permute(1, 2, 0)"],
    ),
    "cross_entropy flat targets": (
        lambda: F.cross_entropy(t(2, 5, 4), [0] * 10), tg.ShapeError, [".reshape(-1, 4)", "(10,)"],
    ),
    "a list of values": (
        lambda: tg.tensor([[t(2).sum(), 2.0]]), tg.GraphError, ["sum ()", "gradient would be lost", "tg.stack"],
    ),
    "a value everywhere": (lambda: tg.full((2, 2), t(2).sum()), tg.GraphError, ["gradient would be lost", "expand"]),
    "a gradient of another shape": (lambda: setattr(t(2), "grad", t(3)), tg.ArgumentError, ["(2,)", "(3,)"]),
    "a format of one number": (lambda: format(t(2), ".2f"), tg.ShapeError, ["'.2f'", "(2,)"]),
    "an item that is not there": (lambda: tg.data.TensorDataset(t(2))[2], tg.OutOfRangeError, ["item 2 of 2"]),
    "cross_entropy target": (
        lambda: F.cross_entropy(t(2, 3), [0, 3]),
        tg.OutOfRangeError, ["target 3", "position (1,)", "3 classes"],
    ),
    "cross_entropy floats": (lambda: F.cross_entropy(t(2, 3), [0.0, 1.0]), tg.DTypeError, ["class indices", "float32"]),
    "cross_entropy scalar": (lambda: F.cross_entropy(t(), 0), tg.ShapeError, ["a tensor ()"]),
    "cross_entropy reduction": (
        lambda: F.cross_entropy(t(2, 3), [0, 1], reduction="max"),
        tg.ArgumentError, ["reduction", "'max'"],
    ),
    "nll_loss": (lambda: F.nll_loss(t(2, 3), [0, 3]), tg.OutOfRangeError, ["target 3"]),
    "nll_loss shape": (lambda: F.nll_loss(t(4, 3), [0, 1]), tg.ShapeError, ["nll_loss", "(4, 3)", "(2,)"]),
    "nll_loss broadcast": (lambda: F.nll_loss(t(4, 3), [1]), tg.ShapeError, ["(4, 3)", "(1,)"]),
    "nll_loss reduction": (lambda: F.nll_loss(t(2, 3), [0, 1], reduction="max"), tg.ArgumentError, ["reduction"]),
    "mse_loss": (lambda: F.mse_loss(t(2), t(3)), tg.ShapeError, ["mse_loss", "(2,)", "(3,)"]),
    "mse_loss broadcast": (lambda: F.mse_loss(t(2, 1), t(2)), tg.ShapeError, ["mse_loss"]),
    "Seq2Seq sizes": (lambda: nn.Seq2Seq(nn.GRU(2, 3), nn.GRU(2, 4), 5), tg.ShapeError, ["Seq2Seq", "hidden size"]),
    "Seq2Seq kinds": (lambda: nn.Seq2Seq(nn.GRU(2, 3), nn.RNN(2, 3), 5), tg.ShapeError, ["Seq2Seq", "one kind"]),
    "Seq2Seq nothing": (
        lambda: nn.Seq2Seq(nn.GRU(2, 3), nn.GRU(2, 3), 5)(t(4, 1, 2)),
        tg.ShapeError, ["target", "length"],
    ),
    "Seq2Seq length": (
        lambda: nn.Seq2Seq(nn.GRU(2, 3), nn.GRU(2, 3), 5)(t(4, 1, 2), length=0),
        tg.ShapeError, ["Seq2Seq", "length", "0"],
    ),
    "Seq2Seq forcing": (
        lambda: nn.Seq2Seq(nn.GRU(2, 3), nn.GRU(2, 3), 5)(t(4, 1, 2), [[0]], teacher_forcing=2),
        tg.ArgumentError, ["teacher_forcing", "probability", "2"],
    ),
    "Seq2Seq target": (
        lambda: nn.Seq2Seq(nn.GRU(2, 3), nn.GRU(2, 3), 5)(t(4, 1, 2), np.zeros((3, 2), int)),
        tg.ShapeError, ["(3, 2)", "(T_out, 1)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [*OPERATIONS, *LAYERS])
def test_one_line_that_says_what_and_where(name):
    action, kind, words = {**OPERATIONS, **LAYERS}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(kind) as caught:
            action()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    for word in words:
        assert word in message, f"{word!r} is not in {message!r}"
    assert isinstance(caught.value, tg.TinygradError)
    if " [operand " in message:
        line = inspect.getsourcelines(action)[1]
        assert f"; at test_errors.py:{line}]" in message or f"; at test_errors.py:{line + 1}]" in message, message


@pytest.mark.parametrize("name", OPERATIONS)
def test_errors_do_not_depend_on_recording(name):
    action, kind, _ = OPERATIONS[name]
    with tg.no_grad(), pytest.raises(kind):
        action()


def test_a_leaf_that_is_written_in_place_is_called_a_leaf():
    w = tg.tensor([0.0, 0.0], requires_grad=True, name="w")
    with pytest.raises(
        tg.GraphError, match=r"w \(2,\) is a leaf that requires a gradient, and is written in place.*no_grad"
    ):
        w.copy_([1.0, 2.0])
    with tg.no_grad():
        assert w.copy_([1.0, 2.0]).tolist() == [1.0, 2.0]


def test_a_misspelt_keyword_is_a_type_error_too():
    with pytest.raises(TypeError, match="did you mean 'num_layers'"):
        nn.LSTM(2, 2, num_layer=2)
    with pytest.raises(TypeError, match="missing 1 required positional"):  # what Python says better itself
        nn.LSTM(2)


MISUSE = {
    "bidirectional": (lambda: nn.RNN(3, 4, bidirectional="yes"), tg.ArgumentError, "bidirectional is True or False"),
    "dropout": (lambda: nn.Dropout("a"), tg.ArgumentError, "Dropout: p is a probability, from 0 to 1, not 'a'"),
    "an initialiser's list": (lambda: nn.init.ones_([1, 2]), tg.DTypeError, "ones_ writes in a tensor, not in a list"),
    "no cell": (lambda: nn.Recurrent(nn.Linear(2, 2))(t(3, 1, 2)), tg.ArgumentError, "called as cell.*Linear.forward"),
    "label": (lambda: nn.labelled(t(2), 3), tg.ArgumentError, "labelled: the role is a text, not 3"),
    "seed": (lambda: tg.manual_seed("a"), tg.ArgumentError, "manual_seed: a seed is an integer from 0 up, not 'a'"),
    "stack": (lambda: tg.stack(t(2), t(2)), tg.DTypeError, r"stack takes its tensors in one list: stack\(\[a, b\]\)"),
    "text": (lambda: tg.tensor("abc"), tg.DTypeError, "'abc' .str. is no number"),
    "complex": (lambda: t(2).astype("complex64"), tg.DTypeError, "astype: a tensor holds float32.* not complex64"),
    "truth": (lambda: bool(t(2, name="x") > 0), tg.ShapeError, "greater .2,. has 2 elements.*amax"),
    "gather": (lambda: t(2, 3).gather(1, [[5]]), tg.OutOfRangeError, "gather: index 5 at position .0, 0.*from 0 to 2"),
    "a step's result": (lambda: tg.scan(lambda c, x: c, t(2), t(3, 2)), tg.DTypeError, r"pair \(carry, y\).*Tensor"),
    "a step": (lambda: tg.scan(3, t(2), t(3, 2)), tg.DTypeError, "scan: f is a function"),
    "check a text": (lambda: tg.check_gradients(lambda x: x.sum(), "abc"), tg.DTypeError, "inputs are .*not str"),
    "check integers": (lambda: tg.check_gradients(lambda x: x.sum(), [1]), tg.GraphError, "inputs that are floats"),
    "node": (lambda: tg.viz.debug((t(2) * 2).sum()).value(77), tg.ArgumentError, "numbered from 0 to 2; 77 is none"),
    "clip": (lambda: tg.viz.debug((t(2) * 2).sum()).clip("a"), tg.ArgumentError, "the threshold is a number"),
    "debug": (lambda: tg.viz.debug(3), tg.ArgumentError, "a walk back starts at the loss, a tensor, not int"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_one_line_with_the_users_own(name):
    action, kind, words = MISUSE[name]
    with pytest.raises(kind, match=words) as caught:
        action()
    assert "\n" not in str(caught.value) and "[at test_errors.py:" in str(caught.value)


def test_the_users_line_is_named_beyond_a_library():
    w = tg.nn.Parameter([1.0])
    with pytest.raises(tg.GraphError, match=r"is read \(at test_errors.py:\d+\)"):
        tg.compile(lambda x: copy.deepcopy(w) * x)(t(1))


def test_a_choice_between_two_numbers_has_the_default_dtype():
    condition = tg.tensor([True, False])
    for wrap in (lambda f: f, tg.compile):
        assert wrap(lambda c: tg.where(c, 1.0, 0.0))(condition).dtype == np.float32
        assert wrap(lambda c: tg.where(c, 1, 0.5))(condition).dtype == np.float32
        assert wrap(lambda c: tg.where(c, 1, 0))(condition).dtype == np.int64
        assert wrap(lambda c: tg.where(c, np.ones(2), 0.5))(condition).dtype == np.float64


def _parameters(function):
    return list(inspect.signature(function).parameters.values())


def _keywords(function):
    """Those it has; none if it takes any."""
    found = _parameters(function)
    if any(p.kind is p.VAR_KEYWORD for p in found):
        return []
    return [p.name for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"]


def test_every_public_call_names_the_nearest_keyword():
    w = tg.nn.Parameter([1.0, 2.0])
    loss = (w * w).sum()
    optimizer = tg.optim.SGD([w], lr=0.1)
    objects = [w, nn.Linear(2, 2), optimizer, tg.Graph(loss)]
    methods = [
        (name, getattr(thing, name))
        for thing in (*objects, tg.viz.debug(loss))
        for name in dir(thing)
        if not name.startswith("_") and inspect.isfunction(getattr(type(thing), name, None))
        if name != "forward"  # subclasses define it
    ]
    functions = [
        (name, partial(function, w) if "self" in inspect.signature(function).parameters else function)
        for home in (tg, F, nn.init, nn.utils, tg.optim.swa_utils, tg.viz)
        for name, function in vars(home).items()
        if inspect.isfunction(function) and name[0] != "_"
        if (name in home.__all__ if hasattr(home, "__all__") else function.__module__ == home.__name__)
    ]
    anything = {name for name, method in methods if any(p.kind is p.VAR_KEYWORD for p in _parameters(method))}
    for name, method in methods:
        if name not in anything:
            with pytest.raises(tg.KeywordError, match=r"has no argument 'no_such'; .*\[at test_errors"):
                assert method(no_such=None) is None, name
    for name, call in (*methods, *functions):
        if not any(p.kind is p.VAR_POSITIONAL for p in _parameters(call)):
            with pytest.raises(tg.KeywordError, match=r"^\w.* takes .* \d+ were given \[at test_errors"):
                assert call(w, *range(30)) is None, name
        if known := _keywords(call):
            with pytest.raises(tg.KeywordError, match=f"'{known[-1]}z'; did you mean '{known[-1]}'"):
                assert call(**{f"{known[-1]}z": None}) is None, name
    for name, call in functions:
        function = call.func if isinstance(call, partial) else call
        if any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in _parameters(function)):
            with pytest.raises(tg.KeywordError, match=r"missing \d required .*\[at test_errors"):
                assert function() is None, name
    for misspelt in (
        lambda: nn.LSTM(3, 2)(t(4, 1, 3), lengts=[4]),
        lambda: nn.LSTMCell(3, 2)(t(1, 3), hxx=None),
        lambda: nn.CrossEntropyLoss()(t(1, 3), tarjet=[0]),
        lambda: tg.optim.lr_scheduler.ReduceLROnPlateau(tg.optim.SGD([t()], lr=1.0)).step(metric=1.0),
    ):
        with pytest.raises(tg.KeywordError, match=r"^(LSTM|Cross|Reduce).* has no argument .*\[at test_errors"):
            misspelt()


def test_what_a_users_own_function_raises_stays():
    class Own(nn.Module):
        def forward(self, x):
            return sorted(x, kee=None)

    with pytest.raises(TypeError, match="kee") as caught:
        Own()([1.0])
    assert not isinstance(caught.value, tg.TinygradError)


def test_hostile_names_stay_on_one_line():
    x = t(2, name="a\nb\r\x1b[31m\u2028" + "long" * 5000)
    with pytest.raises(tg.ShapeError) as caught:
        x + t(3)
    message = str(caught.value)
    assert len(message.splitlines()) == 1 and "\x1b" not in message and len(message) < 400


def test_many_operands_are_counted_not_listed():
    with pytest.raises(tg.ShapeError) as caught:
        tg.concat([t(2, 1)] * 50 + [t(3, 1)], axis=1)
    assert "51 in all" in str(caught.value) and "operand 50 has shape (3, 1)" in str(caught.value)


def test_classes_of_errors():
    for kind, builtin in [
        (tg.ShapeError, ValueError),
        (tg.DTypeError, TypeError),
        (tg.OutOfRangeError, IndexError),
        (tg.GraphError, RuntimeError),
        (tg.MutationError, tg.GraphError),
        (tg.DataError, ValueError),
        (tg.ArgumentError, ValueError),
    ]:
        assert issubclass(kind, builtin) and issubclass(kind, tg.TinygradError)


# The watch over global state can fail, too -------------------------------------------------------------------


def _change_default():
    tg.set_default_dtype(np.float64)


def _enter_scope():
    tg.scope("left open").__enter__()


LEFT_OPEN = []


def _stop_recording():
    LEFT_OPEN.append(tg.no_grad())
    LEFT_OPEN[-1].__enter__()


def _silence_numpy():
    np.seterr(all="ignore")


def _add_primitive():
    tg.Primitive("test_left_behind", "", lambda x: x, lambda x: x)


def _print_fewer_digits():
    np.set_printoptions(precision=2)


def _seed_numpy():
    np.random.seed(1)


def _go_elsewhere():
    os.chdir("/")


def _change_environment():
    os.environ["LEFT_BEHIND"] = "1"


VANDALS = [
    _change_default, _enter_scope, _stop_recording, _silence_numpy, _add_primitive, _print_fewer_digits, _seed_numpy,
    _go_elsewhere, _change_environment,
]  # fmt: skip


@pytest.mark.parametrize("vandal", VANDALS, ids=lambda f: f.__name__)
def test_a_test_that_leaves_something_behind_fails(vandal):
    with pytest.raises(pytest.fail.Exception, match=r"the test left .* changed"), nothing_left_behind():
        vandal()
    assert tg.get_default_dtype() == np.float32 and (t(1) * 1).requires_grad and "test_left_behind" not in tg.TABLE
    assert np.get_printoptions()["precision"] == 8 and os.getcwd() != "/" and "LEFT_BEHIND" not in os.environ


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda x: x.transpose(0, 3), "transpose"), (lambda x: x.flip(5), "flip"), (lambda x: x.squeeze(5), "squeeze"),
        (lambda x: x.expand_dims(5), "expand_dims"), (lambda x: x.split(1.5), "split"), (lambda x: x.prod(4), "prod"),
        (lambda x: nn.LSTM(3, 4)(x), "LSTM"), (lambda x: nn.functional.mse_loss(x, [1.0]), "mse_loss"),
        (lambda x: nn.Sequential(x), "Sequential"), (lambda x: tg.optim.SGD([{"weights": [x]}]), "SGD"),
        (lambda x: tg.optim.SGD([1]), "SGD"), (lambda x: tg.optim.SGD([nn.Parameter(x)], lr="a"), "lr"),
        (lambda x: tg.optim.SGD([x * 2]), "leaves"), (lambda x: tg.optim.SGD([nn.Parameter(x)] * 2), "twice"),
    ],
)  # fmt: skip
def test_errors_outside_operations_name_the_line_too(call, word):
    with pytest.raises(tg.TinygradError) as caught:
        call(t(3, name="x"))
    assert word in str(caught.value) and "at test_errors.py:" in str(caught.value)


def test_functions_of_real_numbers_take_integers():
    for name in ("softmax", "log_softmax", "logsumexp", "sigmoid", "exp"):
        for data in ([1, 2], [True, False]):
            close = getattr(tg, name)(tg.tensor(data)), getattr(tg, name)(tg.tensor(np.float32(data)))
            assert close[0].tolist() == close[1].tolist() and close[0].dtype == np.float32


def test_integers_to_a_negative_power_are_fractions():
    assert (tg.tensor([1, 2]) ** -1).tolist() == [1.0, 0.5]
    assert (tg.tensor([1, 2]) ** -1).dtype == np.float32


def test_no_inputs_no_gradients():
    assert tg.grad(t(), []) == ()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda folder: tg.check_gradients(np.ones(2)), "takes a function, a graph or a tensor.*not ndarray"),
        (lambda folder: tg.nn.utils.clip_grad_norm_([tg.nn.Parameter([1.0])], "1"), "a number from 0 up, not '1'"),
        (tg.load, "is a folder, no file"),
    ],
    ids=["check of an array", "a norm as text", "a folder"],
)
def test_what_was_meant_otherwise_is_named(call, message, tmp_path):
    with pytest.raises(tg.TinygradError, match=message):
        call(tmp_path)
