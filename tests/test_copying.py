"""A copy is another tensor: it has an identity of its own, in eager graphs, compiled functions and saved graphs."""

import copy
import pickle
import threading

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import nn

COPIES = [copy.copy, copy.deepcopy]


def doubling() -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data = [[2.0]]
    return layer


def stacked() -> nn.Sequential:
    layer = doubling()
    return nn.Sequential(*(copy.deepcopy(layer) for _ in range(3)))


def weights(model: nn.Module) -> list[nn.Parameter]:
    for scale, p in enumerate(model.parameters()):
        p.data = [[2.0 + scale]]
    return list(model.parameters())


def test_stacked_deep_copies_each_get_their_own_gradient() -> None:
    model = stacked()
    parameters = weights(model)
    model(tg.ones(1, 1)).sum().backward()
    assert [p.grad.item() for p in parameters] == [12.0, 8.0, 6.0]


def test_stacked_deep_copies_are_several_cells_when_compiled_and_several_leaves_of_a_saved_graph(tmp_path) -> None:
    model = stacked()
    parameters = weights(model)
    y = model(tg.ones(1, 1))
    assert tg.compile(lambda: model(tg.ones(1, 1)))().item() == 24.0
    assert tg.Graph(y).evaluate()[0].item() == 24.0
    gradients = tg.compile(lambda: tg.grad(model(tg.ones(1, 1)).sum(), parameters))()
    assert [g.item() for g in gradients] == [12.0, 8.0, 6.0]


def test_a_moving_average_of_a_model_is_not_the_model() -> None:
    model = doubling()
    average = copy.deepcopy(model)
    with tg.no_grad():
        for p in average.parameters():
            p.copy_(10.0)

    def loss() -> tg.Tensor:
        x = tg.ones(1, 1)
        return (model(x) - average(x)).square().sum()

    assert loss().item() == tg.compile(loss)().item() == 64.0
    loss().backward()
    assert model.weight.grad.item() == -16.0 and average.weight.grad.item() == 16.0


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("kind", [tg.Tensor, nn.Parameter])
def test_a_copy_has_the_value_and_an_identity_memory_and_history_of_its_own(kind, copied) -> None:
    x = kind([1.0, 2.0], requires_grad=True, name="x")
    x.grad = tg.tensor([5.0, 6.0])
    seen: list[float] = []
    x.register_hook(lambda g: seen.append(1.0))
    x.note = ["mine"]
    y = copied(x)
    assert type(y) is kind and y.serial > x.serial and y.name == "x" and y.requires_grad and y.is_leaf
    assert y.tolist() == [1.0, 2.0] and y.grad.tolist() == [5.0, 6.0]
    deep = copied is copy.deepcopy
    assert (y.grad is x.grad) == (y.note is x.note) == (not deep)
    with tg.no_grad():
        y += 1
    assert x.tolist() == [1.0, 2.0]
    y.grad = None
    (x * y).sum().backward()
    assert y.grad.tolist() == [1.0, 2.0] and x.grad.tolist() == [7.0, 9.0] and seen == [1.0]


@pytest.mark.parametrize("copied", COPIES)
def test_a_result_that_needs_no_gradient_is_copied_as_a_value(copied) -> None:
    y = copied(tg.tensor([1.0, 2.0]) * 3)
    assert y.op is None and y.operands == () and y.tolist() == [3.0, 6.0]


@pytest.mark.parametrize("copied", COPIES)
def test_a_result_inside_a_graph_is_refused(copied) -> None:
    y = tg.tensor([1.0], requires_grad=True) * 2
    with pytest.raises(tg.GraphError, match=r"mul \(1,\) was made by mul .*copy the leaves, or use clone\(\).*detach"):
        copied(y)
    assert copied(y.detach()).tolist() == [2.0]
    module = doubling()
    module.last = y
    with pytest.raises(tg.GraphError, match="copy the leaves"):
        copy.deepcopy(module)


def test_what_was_one_tensor_is_one_tensor_in_a_deep_copy() -> None:
    model = nn.Sequential(doubling(), doubling())
    model[1].weight = model[0].weight
    optimizer = tg.optim.SGD(model.parameters(), lr=0.5)
    twin, twins = copy.deepcopy((model, optimizer))
    assert twin[0].weight is twin[1].weight is twins.params[0] is not model[0].weight
    twin(tg.ones(1, 1)).sum().backward()
    twins.step()
    assert twin[0].weight.item() == 0.0 and model[0].weight.item() == 2.0 and model[0].weight.grad is None


def test_a_subclass_keeps_its_kind() -> None:
    class Scaled(nn.Parameter):
        def __init__(self, data, scale):
            super().__init__(data)
            self.scale = scale

    y = copy.deepcopy(Scaled([1.0], 3.0))
    assert type(y) is Scaled and y.scale == 3.0


def test_a_view_is_copied_out_of_its_owners_memory() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    y = copy.copy(x.detach())
    y[0] = 0.0
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_a_traced_value_is_not_copied() -> None:
    with pytest.raises(tg.GraphError):
        tg.compile(lambda x: copy.deepcopy(x * 2))(tg.ones(2))


@pytest.mark.parametrize(
    "thing", [lambda: tg.ones(2), doubling, lambda: tg.ones(2) * 2], ids=["leaf", "model", "graph"]
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused_and_names_what_to_do(thing, protocol) -> None:
    with pytest.raises(tg.GraphError, match=r"cannot be pickled.*state_dict") as info:
        pickle.dumps(thing(), protocol)
    assert "\n" not in str(info.value)


def test_serials_are_unique_across_threads() -> None:
    x = tg.tensor([1.0], requires_grad=True)
    found: list[list[int]] = [[] for _ in range(4)]

    def work(serials: list[int]) -> None:
        for _ in range(500):
            serials += [(x * 2).serial, copy.copy(x).serial, copy.deepcopy(x).serial]

    threads = [threading.Thread(target=work, args=(serials,)) for serials in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = np.concatenate(found)
    assert len(set(every.tolist())) == every.size == 6000


class Marked(tg.Tensor):
    __slots__ = ("empty", "mark")


def test_a_copy_has_what_is_kept_in_slots():
    x = Marked([1.0])
    x.mark = [5]
    for each, same in ((copy.copy(x), True), (copy.deepcopy(x), False)):
        assert each.mark == [5] and (each.mark is x.mark) is same and not hasattr(each, "empty")


class WithoutInit(tg.Tensor):
    def __init__(self) -> None:
        """Forgets super().__init__(data)."""


USES = {
    "an operation": lambda t: t + 1,
    "its other side": lambda t: tg.ones(2) * t,
    "an array": lambda t: np.ones(2) + t,
    "NumPy's function": lambda t: np.concatenate([np.ones(2), t]),
    "concat": lambda t: tg.concat([tg.ones(2), t]),
    "shape": lambda t: t.shape,
    "repr": repr,
    "a copy": copy.copy,
    "reading": float,
    "writing": lambda t: t.copy_(1.0),
    "an alias": lambda t: t.detach() + 1,
    "an argument": lambda t: tg.compile(lambda x: x + 1)(t),
    "from outside": lambda t: tg.compile(lambda: t + 1)(),
    "walking": lambda t: t.backward(),
    "a graph": tg.Graph,
    "an optimizer": lambda t: tg.optim.SGD([t], lr=0.1),
}


@pytest.mark.parametrize("make", [lambda: tg.Tensor.__new__(tg.Tensor), WithoutInit], ids=["bare", "subclass"])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_tensor_made_without_init_has_an_identity_and_says_what_it_lacks(make, use) -> None:
    made = make()
    assert made.serial not in (make().serial, tg.ones(1).serial)
    with pytest.raises(
        tg.GraphError, match=r"^this tensor was made without Tensor\.__init__.*super\(\)\.__init__"
    ) as e:
        use(made)
    assert "\n" not in str(e.value)


def test_a_primitive_is_itself_also_in_copies():
    tanh = tg.TABLE["tanh"]
    assert copy.deepcopy(tanh) is copy.copy(tanh) is pickle.loads(pickle.dumps(tanh)) is tanh
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    graph = tg.Graph(x[:1].tanh().sum())
    for other in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert [a.op is b.op for a, b in zip(graph.nodes, other.nodes, strict=True)] == [True] * len(graph)
        assert other.evaluate()[0] == graph.evaluate()[0]
