"""`check_gradients`: every gradient of a function, each time step's share included, judged without using a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..backward import grad
from ..errors import GraphError
from ..graph import Graph, Node
from ..tensor import Array, Tensor, from_array
from .blame import first_wrong
from .calling import Called, called, replayed, tensors_of, upstream_of
from .derivatives import Forward, Use
from .kinks import downstream, find_kinks
from .report import Comparison, GradientError, Report
from .tolerances import DIFFERENCE_STEP, tolerance
from .walked import Walked, noise, replay, walked

METHODS = ("complex-step", "finite-difference", "projection")
#: random directions that stand for all elements of a large tensor
PROBES = 4
#: roles whose gradient is compared at every time step
STATES = ("h", "c")


def check_gradients(
    function: Callable[..., Any] | Graph | Tensor,
    inputs: Any = None,
    *,
    method: str = "complex-step",
    order: int = 1,
    grad_outputs: Any = None,
    max_elements: int = 4096,
    max_steps: int = 32,
    seed: int = 0,
    picture: str | Path | None = None,
    raise_exception: bool = True,
) -> Report:
    """Compare every gradient with one found by moving values; raise `GradientError`, which says where it is wrong.

    ``function``: takes ``inputs`` (one array or list of numbers, a sequence of arrays, or a mapping of keyword
    arguments; floats become leaves that require a gradient, tensors stay what they are) and returns a tensor or
    several. Or it is a tensor, which is judged as it was computed; or a `Graph`, which is computed again from its
    leaves in double precision, ``inputs`` mapping some of their names to other values. *Every* leaf that requires a
    gradient is checked, weights the function closes over included.

    What is compared: the gradient of each leaf; for a leaf that several time steps use, the share of each step, as if
    each had a copy of its own; the gradient of every hidden and cell state (roles "h" and "c"). A function of float32
    is judged by its derivative in float64.

    - ``method``: ``"complex-step"`` through the primitives' references, on every element, or on random directions for
      tensors of more than ``max_elements``; ``"finite-difference"``, five points, which is also what is left where a
      reference takes no complex values; ``"projection"``, the complex step on random directions only.
    - ``order=2`` also checks the gradient of the gradient (a Hessian-vector product).
    - ``grad_outputs``: upstream gradients, one an output; by default 1 for a single number, else random by ``seed``.
    - ``max_steps``: of more time steps so many are looked at, spread evenly.
    - ``picture``: draw the graph there, with its gradients, if the check fails.

    Returns the `Report`, true if it passed; ``raise_exception=False`` returns also one that failed, or that is
    undecided because a kink (of relu, abs, max, a comparison) lies at the point.

    >>> import tinygrad_rnn as tg
    >>> report = tg.check_gradients(lambda x, w: (x @ w).tanh().sum(), [[[1.0, 2.0]], [[0.5], [-0.3]]])
    >>> report.verdict
    'passed'
    """
    if method not in METHODS or order not in (1, 2):
        raise ValueError(f"method is one of {', '.join(METHODS)} and order 1 or 2, not {method!r} and {order!r}")
    if isinstance(function, Tensor) and inputs is not None:
        function = Graph(function)
    if isinstance(function, Tensor):
        outputs, names, unsteady, severed = Called([function], {})
    elif isinstance(function, Graph):
        outputs, names, unsteady, severed = Called(replayed(function, inputs), {})
    else:
        outputs, names, unsteady, severed = called(function, inputs)
    graph = Graph(*outputs)
    if not graph.parameters:
        raise GraphError(
            "check_gradients: no leaf of the graph requires a gradient; set requires_grad=True on an input"
        )
    upstream = upstream_of(outputs, grad_outputs, np.random.default_rng(seed))
    check = _Check(graph, outputs, upstream, method, names, max_elements, max_steps, seed)
    report = check.report(order)
    report.unsteady, report.severed = unsteady, severed
    if report.verdict == "failed" and not unsteady and check.forward.analytic:
        report.blame = first_wrong(check.forward, check.engine, check.noise)
    if picture is not None and not report:
        report.picture = Path(picture)
        scalar = len(outputs) == 1 and outputs[0].shape == ()
        drawn = outputs[0] if scalar else graph
        import_module("viz").render(drawn, report.picture, detail="op", values=True, grads=scalar)
    if raise_exception and not report:
        raise GradientError(report)
    return report


class _Check:
    """One function at one point: what the engine says, and what moving values says."""

    def __init__(
        self, graph: Graph, outputs: Sequence[Tensor], upstream: list[Array], method: str, names: Mapping[int, str],
        max_elements: int, max_steps: int, seed: int,
    ) -> None:  # fmt: skip
        self.graph, self.outputs, self.upstream, self.names = graph, outputs, upstream, names
        self.max_elements, self.max_steps, self.seed = max_elements, max_steps, seed
        self.forward = Forward(graph, upstream)
        self.notes: list[str] = []
        if not self.forward.analytic and method != "finite-difference":
            method = "finite-difference"
            self.notes.append("a reference does not take complex values, so by five-point differences instead")
        self.method = method
        self.stepping = "finite-difference" if method == "finite-difference" else "complex-step"
        self.engine = walked(graph, outputs, upstream)
        self.noise = self._noise()

    def _noise(self) -> Walked:
        """Rounding noise of the engine's precision, by position."""
        floats = [node.dtype for node in self.graph.nodes if node.dtype.kind == "f"]
        coarsest = min(floats, key=lambda dtype: dtype.itemsize)
        exact = self.engine
        if coarsest != np.float64:
            tensors = replay(self.graph)
            again = Graph(*(tensors[index] for index in self.graph.outputs))
            exact = walked(again, [tensors[index] for index in self.graph.outputs], self.upstream)
        return noise(self.graph, self.upstream, exact, coarsest)

    # Comparing -------------------------------------------------------------------------------------------

    def report(self, order: int) -> Report:
        """Everything compared."""
        leaves = self.graph.parameters
        comparisons: list[Comparison] = []
        for leaf in leaves:
            comparisons += self._leaf(leaf)
        states = [
            node for node in self.graph.nodes
            if node.op is not None and node.role in STATES and node.scope.step is not None and node.requires_grad
        ]  # fmt: skip
        looked_at = self._some(sorted({node.scope.step for node in states if node.scope.step is not None}))
        for node in states:
            if node.scope.step in looked_at:
                got = self.engine.gradients.get(node.index)
                floor = self.noise.gradients.get(node.index)
                comparisons.append(self._compared(node, "gradient", node.scope.step, got, floor, None))
        if order == 2:
            comparisons += self._second(leaves)
        report = Report(comparisons, self.method, notes=self.notes)
        self._find_kinks(report, [*leaves, *states])
        return report

    def _some(self, steps: list[Any]) -> list[Any]:
        if len(steps) <= self.max_steps:
            return steps
        note = f"{self.max_steps} of {len(steps)} time steps were looked at one by one; max_steps sets how many"
        if note not in self.notes:
            self.notes.append(note)
        return [steps[round(k)] for k in np.linspace(0, len(steps) - 1, self.max_steps)]

    def _leaf(self, leaf: Node) -> list[Comparison]:
        """The whole gradient as `grad` gives it, and each time step's share as the walk sends it."""
        tensor = self._tensor(leaf)
        (whole,) = grad(self.outputs, tensor, list(self.upstream), retain_graph=True, allow_unused=True)
        got = None if whole is None else whole.numpy()
        comparisons = [self._compared(leaf, "gradient", None, got, self.noise.gradients.get(leaf.index), None)]
        groups: dict[Any, list[Use]] = {}
        for use in self.forward.uses(leaf.index):
            scope = self.graph.nodes[use[0]].scope
            groups.setdefault((scope.path, scope.step) if use[1] >= 0 else ((), None), []).append(use)
        if len(groups) == 1:
            return comparisons
        for path, step in self._some(list(groups)):
            uses = groups[path, step]
            shares = [self.engine.contributions[use] for use in uses if use in self.engine.contributions]
            shares += [g for use in uses if use[1] < 0 for g in self._seeds_of(leaf.index)]
            floors = [self.noise.contributions[use] for use in uses if use in self.noise.contributions]
            comparisons.append(self._compared(leaf, "contribution", step, _sum(shares), _sum(floors), uses, path=path))
        return comparisons

    def _seeds_of(self, index: int) -> list[Array]:
        return [g for output, g in zip(self.graph.outputs, self.upstream, strict=True) if output == index]

    def _tensor(self, leaf: Node) -> Tensor:
        if not hasattr(self, "_leaves"):
            self._leaves = tensors_of(self.outputs)
        return self._leaves[leaf.serial]

    def _name(self, node: Node) -> str:
        name = self.names.get(node.serial) or node.name or node.role or (node.op.name if node.op else "a leaf")
        return ".".join((*node.scope.path, name)) if node.op is not None else name

    def _compared(
        self, node: Node, quantity: str, step: int | None, got: Array | None, floor: Array | None,
        uses: list[Use] | None, path: tuple[str, ...] = (),
    ) -> Comparison:  # fmt: skip
        got = np.zeros(node.shape) if got is None else got.astype(np.float64)
        projected = self.method == "projection" or got.size > self.max_elements
        if projected:
            rng = np.random.default_rng([self.seed, node.index])
            directions = [np.asarray(rng.standard_normal(node.shape)) for _ in range(PROBES)]
            expected = np.array([self.forward.slope(node.index, v, uses, self.stepping) for v in directions])
            got = np.array([np.sum(got * v) for v in directions])
        else:
            expected = self.forward.gradient(node.index, uses, self.stepping)
        name = self._name(node)
        if uses is not None and path and not node.op:
            name = f"{name} in {'.'.join(path)}"
        rounding = 0.0 if floor is None else float(np.linalg.norm(np.ravel(floor)))
        if self.stepping == "finite-difference":
            rounding += self._difference_noise(node)
        return Comparison(
            name, quantity, step, got, expected, tolerance(self.stepping, node.dtype).rtol, rounding, node.site,
            node.index, projected,
        )  # fmt: skip

    def _difference_noise(self, node: Node) -> float:
        """Differences of ``L`` lose what its own size in bits hides."""
        size = sum(float(np.abs(g * self.forward.values[i]).sum()) for g, i in zip(self.upstream, self.graph.outputs))
        return float(np.finfo(np.float64).eps) / DIFFERENCE_STEP * size * max(1, int(np.prod(node.shape))) ** 0.5 / 8

    # The second derivative -------------------------------------------------------------------------------

    def _second(self, leaves: Sequence[Node]) -> list[Comparison]:
        """Hessian times a random direction: the recorded walk's gradient against differences of complex steps."""
        rng = np.random.default_rng(self.seed)
        length = sum(int(np.prod(leaf.shape)) for leaf in leaves) ** 0.5
        directions = {leaf.index: np.asarray(rng.standard_normal(leaf.shape)) / length for leaf in leaves}
        tensors = [self._tensor(leaf) for leaf in leaves]
        seeds = [from_array(g.astype(y.dtype)) for g, y in zip(self.upstream, self.outputs, strict=True)]
        first = grad(self.outputs, tensors, seeds, create_graph=True, allow_unused=True)
        pairs = zip(first, directions.values(), strict=True)
        dots = [(g * v.astype(g.dtype)).sum() for g, v in pairs if g is not None and g.requires_grad]
        found: Sequence[Tensor | None] = [None] * len(tensors)
        if dots:
            found = grad(dots, tensors, allow_unused=True)
        points = []
        for k in (-2, -1, 1, 2):
            moved = {i: self.forward.values[i] + k * DIFFERENCE_STEP * v for i, v in directions.items()}
            points.append(Forward(self.graph, self.upstream, moved))
        comparisons = []
        for leaf, second, g in zip(leaves, found, first, strict=True):
            low2, low, high, high2 = (point.gradient(leaf.index, None, self.stepping) for point in points)
            expected = (low2 - 8 * low + 8 * high - high2) / (12 * DIFFERENCE_STEP)
            got = np.zeros(leaf.shape) if second is None else second.numpy().astype(np.float64)
            size = 0.0 if g is None else float(np.linalg.norm(np.ravel(g.numpy())))
            floor = float(np.linalg.norm(np.ravel(self.noise.gradients.get(leaf.index, 0.0))))
            eps = float(np.finfo(leaf.dtype).eps)
            rounding = (eps * size + floor) / DIFFERENCE_STEP + DIFFERENCE_STEP**4 * size
            rtol = tolerance("second derivative", leaf.dtype).rtol
            name = self._name(leaf)
            comparisons.append(
                Comparison(name, "second derivative", None, got, expected, rtol, rounding, leaf.site, leaf.index)
            )
        return comparisons

    # Kinks -----------------------------------------------------------------------------------------------

    def _find_kinks(self, report: Report, judged: Sequence[Node]) -> None:
        """Name the tensors whose derivative does not exist here; with differences, only those that also disagree."""
        leaves = [leaf.index for leaf in self.graph.parameters]
        # a value moved by differences moves what it feeds, by how much is anyone's guess
        reach = 8 * DIFFERENCE_STEP if self.stepping == "finite-difference" else 0.0
        kinks = find_kinks(self.graph, self.forward.values, leaves, self.noise.values, reach)
        kinks = [kink for kink in kinks if self._matters(kink.node, kink.index)]
        if not kinks:
            return
        turning = {kink.node.index for kink in kinks}
        reached = {node.index for node in judged if turning & downstream(self.graph, [node.index])}
        affected = [
            c for c in report.comparisons if c.node in reached and (self.stepping == "complex-step" or not c.agrees)
        ]
        if affected:
            report.kinks, report.affected = kinks, frozenset(c.name for c in affected)

    def _matters(self, node: Node, index: tuple[int, ...]) -> bool:
        """Whether any gradient arrives at this element; a choice among booleans always counts."""
        if node.dtype.kind != "f" or not node.requires_grad:
            return True
        arrived = self.engine.gradients.get(node.index)
        return arrived is not None and bool(arrived[index])


def _sum(arrays: list[Array]) -> Array | None:
    return sum(arrays[1:], start=arrays[0]) if arrays else None
