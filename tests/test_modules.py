"""The tree of modules: buffers, hooks, dicts, saving, and what is hidden from it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

ENDLESS: dict[str, Any] = {}
ENDLESS["inside"] = [ENDLESS]


class Running(nn.Module):
    """A running mean of what comes in, beside a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter([2.0, 3.0])
        self.register_buffer("mean", tg.zeros(2))
        self.register_buffer("seen", tg.tensor(0))
        self.register_buffer("scratch", tg.zeros(2), persistent=False)
        self.register_buffer("nothing", None)
        self.mean: tg.Tensor

    def forward(self, x: Any) -> tg.Tensor:
        with tg.no_grad():
            self.mean.copy_(0.5 * self.mean + 0.5 * x.mean(0))
        return x * self.weight


def test_buffers_are_saved_converted_and_not_trained(tmp_path: Path) -> None:
    model = nn.Sequential(Running(), Running())
    assert [name for name, _ in model.named_parameters()] == ["0.weight", "1.weight"]
    assert [name for name, _ in model.named_buffers()][:4] == ["0.mean", "0.seen", "0.scratch", "1.mean"]
    assert list(model.state_dict()) == ["0.weight", "0.mean", "0.seen", "1.weight", "1.mean", "1.seen"]
    model(tg.tensor([[1.0, 2.0]]))
    assert model[0].mean.tolist() == [0.5, 1.0]
    model.save(tmp_path / "a.safetensors")
    other = nn.Sequential(Running(), Running())
    assert other.load(tmp_path / "a.safetensors") == ([], [])
    assert other[1].mean.tolist() == model[1].mean.tolist() and other[0].seen.dtype == np.int64
    model.double()
    assert model[0].mean.dtype == model[0].scratch.dtype == np.float64 and model[0].seen.dtype == np.int64
    for name, value in [("weight", tg.ones(1)), ("forward", tg.ones(1)), ("a b", tg.ones(1))]:
        with pytest.raises(tg.ArgumentError, match="is taken already, or is no name"):
            model[0].register_buffer(name, value)
    with pytest.raises(tg.DTypeError, match="is a Parameter"):
        model[0].register_buffer("new", nn.Parameter([1.0]))


def test_parameters_and_modules_are_registered_by_name() -> None:
    """As layers do that may have no bias, and stacks whose layers are counted."""
    model = nn.Identity()
    model.register_parameter("weight", nn.Parameter([2.0]))
    model.register_parameter("bias", None)
    model.add_module("layer1", nn.Linear(1, 1))
    assert list(model.state_dict()) == ["weight", "layer1.weight", "layer1.bias"] and vars(model)["bias"] is None
    for wrong in (lambda: model.register_parameter("w", tg.ones(1)), lambda: model.add_module("f", print)):
        with pytest.raises(tg.DTypeError, match="and not None"):
            wrong()


class Positions(nn.Module):
    """A table of positions, computed, and a mean that forward assigns anew, without `no_grad`, as PyTorch allows."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", tg.sin(tg.arange(4).unsqueeze(1) * 0.5))
        self.register_buffer("mean", tg.zeros(1))

    def forward(self, x: Any) -> tg.Tensor:
        self.mean = 0.5 * self.mean + x.mean(0)
        return x + self.table


def test_buffers_that_operations_made_are_loaded_and_converted(tmp_path: Path) -> None:
    model, other = Positions(), Positions()
    result = model(tg.ones(4, 1))
    assert model.table.op is None and model.mean.op is not None
    mean, before = model.mean, tg.Graph(model.mean).evaluate()[0].copy()
    model.save(tmp_path / "a.safetensors")
    other(tg.zeros(4, 1))
    assert other.load(tmp_path / "a.safetensors") == ([], [])
    assert other.mean.tolist() == [1.0] and other.table.tolist() == model.table.tolist()
    model.double()
    assert model.mean.dtype == model.table.dtype == np.float64
    assert mean.dtype == result.dtype == np.float32  # what was computed before stays as it was
    assert tg.Graph(mean).evaluate()[0] == before


def test_a_buffer_is_written_compiled_as_it_is_eagerly() -> None:
    plain, compiled = Running(), Running()
    step = tg.compile(compiled)
    for x in np.random.default_rng(0).normal(size=(3, 4, 2)):
        assert np.allclose(step(tg.tensor(x)).numpy(), plain(tg.tensor(x)).numpy())
    np.testing.assert_allclose(compiled.mean.numpy(), plain.mean.numpy(), rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_forward_hooks_come_in_order_change_what_they_return_and_go(compiled: bool) -> None:
    layer, calls = nn.Linear(1, 1, bias=False), tg.zeros(1)  # a tensor: a list would be written when recorded only
    nn.init.ones_(layer.weight)
    run = tg.compile(layer) if compiled else layer
    x = tg.tensor([[3.0]])
    assert run(x).item() == 3.0

    def count(module: nn.Module, args: tuple[tg.Tensor, ...]) -> None:
        assert module is layer and len(args) == 1
        calls.copy_(calls + 1)

    first = layer.register_forward_pre_hook(count)
    second = layer.register_forward_pre_hook(lambda module, args: args[0] + 1)
    third = layer.register_forward_hook(lambda module, args, output: output * 10)
    assert run(x).item() == 40.0 and calls.item() == 1
    third.remove()
    third.remove()
    assert run(x).item() == 4.0
    second.remove(), first.remove()
    assert run(x).item() == 3.0


def test_the_tree() -> None:
    inner = nn.Linear(2, 2)
    model = nn.ModuleDict({"a": inner, "b": nn.Sequential(nn.Tanh(), nn.Linear(2, 1))})
    assert list(model.children()) == [inner, model["b"]] and list(model) == list(model.keys()) == ["a", "b"]
    visited: list[str] = []
    assert model.apply(lambda module: visited.append(type(module).__name__)) is model
    assert visited == ["Linear", "Tanh", "Linear", "Sequential", "ModuleDict"]
    assert len(model) == 2 and "a" in model and "c" not in model and dict(model.items())["a"] is inner
    model["c"] = inner
    del model["b"]
    assert model.pop("c") is inner
    model["c"] = inner
    assert [name for name, _ in model.named_parameters()] == ["a.weight", "a.bias"] and inner in model.values()
    assert list(model.state_dict()) == ["a.weight", "a.bias", "c.weight", "c.bias"]  # under each name
    with pytest.raises(KeyError):
        model["b"]
    for name in ("a.b", "", "forward", 3):
        with pytest.raises(tg.ArgumentError, match="cannot be a name"):
            model[name] = inner
    with pytest.raises(tg.DTypeError, match="takes modules"):
        model["d"] = [inner]  # type: ignore[assignment]
    both = nn.ModuleList([inner]).extend([inner, nn.Tanh()])
    assert len(both) == 3 and len(list(both.parameters())) == 2


def test_every_name_finds_what_it_names() -> None:
    cells = nn.ModuleList([nn.LSTMCell(2, 3), nn.GRUCell(3, 3)])
    model = nn.ModuleDict({"rnn": nn.LSTM(2, 3, num_layers=2, bidirectional=True), "cells": cells, "again": cells})
    for name, module in model.named_modules():
        assert model.get_submodule(name) is module
    for name, parameter in model.named_parameters(remove_duplicate=False):
        assert model.get_parameter(name) is parameter
    assert model.get_submodule("again.1") is cells[1]
    for wrong, message in [
        (lambda: model.get_submodule("cells.2"), "ModuleList has no Module '2'; it has 0, 1"),
        (lambda: model.get_submodule("cells.0.bias"), "LSTMCell has no Module 'bias'; it has none"),
        (lambda: cells.get_parameter("0.weight"), "LSTMCell has no Parameter 'weight'; it has weight_ih, weight_hh"),
        (lambda: cells.get_parameter("0"), "ModuleList has no Parameter '0'; it has none"),
        (lambda: cells.get_parameter(""), "has no Parameter ''"),
        (lambda: cells.get_submodule(0), "target is a dotted name"),  # type: ignore[arg-type]
    ]:
        with pytest.raises(tg.ArgumentError, match=message):
            wrong()


def test_the_repr_counts_parameters() -> None:
    assert repr(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(300, 100))).splitlines() == [
        "Sequential(",
        "  (0): Linear(2, 3, bias=True)  # 9 parameters",
        "  (1): Tanh()",
        "  (2): Linear(300, 100, bias=True)  # 30,100 parameters",
        ")  # 30,109 parameters",
    ]


def test_modules_in_a_plain_list_are_noticed() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            self.head = nn.Linear(2, 1)
            self.layers: Any = []

    model = Hidden()
    model.layers.append(model.head)  # found elsewhere, so nothing is wrong
    assert len(list(model.parameters())) == 2
    model.layers.append(nn.Linear(2, 2))
    for look in (model.parameters, model.state_dict):
        with pytest.warns(UserWarning, match="Hidden.layers is a plain list, .* use nn.ModuleList") as caught:
            list(look())
        assert caught[0].filename == __file__ and "\n" not in str(caught[0].message)
    model.layers = {"x": nn.Parameter([1.0])}
    with pytest.warns(UserWarning, match="use nn.ModuleDict"):
        tg.optim.SGD(model.parameters(), lr=0.1)


def test_a_state_that_fits_in_part() -> None:
    layer = nn.Linear(2, 1)
    found = layer.load_state_dict({"weight": np.ones((1, 2)), "other": np.ones(1)}, strict=False)
    assert found.missing_keys == ["bias"] and found.unexpected_keys == ["other"] and layer.weight.tolist() == [[1, 1]]


def test_zero_grad_may_leave_zeros() -> None:
    layer = nn.Linear(2, 1)
    layer(tg.ones(1, 2)).sum().backward()
    layer.bias.grad = None
    layer.zero_grad(set_to_none=False)
    assert layer.weight.grad.tolist() == [[0.0, 0.0]] and layer.bias.grad is None
    layer.zero_grad()
    assert layer.weight.grad is None


def training() -> dict[str, Any]:
    model = nn.Linear(2, 3)
    adam = tg.optim.Adam(model.parameters())
    model(tg.ones(1, 2)).sum().backward()
    adam.step()
    return {
        "model": model.state_dict(), "adam": adam.state_dict(), "epoch": 3, "best": float("inf"), "note": "é\n",
        "more": [None, True, (1, tg.tensor([1, 2]))], "model.weight": np.arange(3), "none": tg.zeros(0, 2),
    }  # fmt: skip


def test_a_training_state_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    state = training()
    tg.save(state, path)
    first = path.read_bytes()
    found = tg.load(path)
    assert list(found) == list(state) and found["epoch"] == 3 and found["best"] == float("inf")
    assert found["note"] == "é\n" and found["more"][:2] == [None, True] and found["more"][2][1].tolist() == [1, 2]
    assert found["model"]["weight"].numpy().tobytes() == state["model"]["weight"].numpy().tobytes()
    assert found["adam"]["state"][0]["exp_avg"].dtype == np.float32 and found["adam"]["state"][0]["step"] == 1
    assert found["adam"]["param_groups"] == state["adam"]["param_groups"] and found["none"].shape == (0, 2)
    assert isinstance(found["model.weight"], np.ndarray)
    tg.optim.Adam(nn.Linear(2, 3).parameters()).load_state_dict(found["adam"])
    tg.save(found, path)
    assert path.read_bytes() == first


def test_no_flipped_bit_of_saved_values_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tg.save({"w": tg.tensor([1.0, 2.0]), "n": 3}, path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        spoilt = bytearray(content)
        spoilt[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        try:
            found = tg.load(path)
        except tg.DataError as error:
            assert "\n" not in str(error)
        else:  # a bit that means nothing, or a name of the entry that holds our facts
            assert found["w"].tolist() == [1.0, 2.0]
    path.write_bytes(b"nonsense")
    for wrong in (path, tmp_path / "absent"):
        with pytest.raises(tg.DataError, match=r"not a readable|no file"):
            tg.load(wrong)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (nn.Linear(1, 1), r"is Linear, which would take a pickle; save its state_dict\(\)"),
        ({"a": {"b": object()}}, "a.b is object"),
        ({(1, 2): 3}, "keys are texts or integers"),
        (np.array([1j]), "an array of complex128"),
        (ENDLESS, "contains itself"),
    ],
)
def test_what_would_take_a_pickle_is_refused(value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(tg.DTypeError, match=message):
        tg.save(value, tmp_path / "a")
    assert not list(tmp_path.iterdir())
    with pytest.raises(tg.ArgumentError, match="the path of a file"):
        tg.save({}, 3)  # type: ignore[arg-type]


def test_pytorch_opens_our_files_and_we_its(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the other side")
    from safetensors.torch import load_file, save_file

    ours, theirs = nn.LSTM(2, 3), torch.nn.LSTM(2, 3)
    ours.save(tmp_path / "ours.safetensors")
    theirs.load_state_dict(load_file(tmp_path / "ours.safetensors"))
    with torch.no_grad():
        theirs.bias_hh_l0 += 1
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    ours.load(tmp_path / "theirs.safetensors")
    assert np.array_equal(ours.bias_hh_l0.numpy(), theirs.bias_hh_l0.detach().numpy())  # type: ignore[attr-defined]


def test_detaching_in_place() -> None:
    x = tg.ones(2, requires_grad=True)
    with pytest.raises(tg.GraphError, match=r"write h = h.detach\(\)"):
        (x * 2).detach_()
    assert not x.detach_().requires_grad
    assert x.cpu() is x.contiguous() is x


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda whole: whole[:-5], "cut off"),
        (lambda whole: whole[:20], "cut off"),
        (lambda whole: whole + b"more", "more was written behind it"),
        (lambda whole: b"", "another kind"),
        (lambda whole: b"a text of some length, no file of arrays", "another kind"),
        (lambda whole: whole.replace(b'"shape":[2]', b'"shape":[3]'), "does not fit"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_in_plain_words(change, said, tmp_path):
    tg.save({"w": tg.ones(2)}, tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(change((tmp_path / "a.safetensors").read_bytes()))
    with pytest.raises(tg.DataError, match=f"not a readable safetensors file: it.*{said}") as caught:
        tg.load(tmp_path / "b.safetensors")
    assert "header" not in str(caught.value)
