"""`check_gradients`: every gradient of a function, each time step's share included, judged without using a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import answerable
from ..draw_hook import drawing
from ..element_places import first_place, subscript
from ..errors import ArgumentError, DTypeError, GraphError
from ..files import PathLike
from ..graph import Graph, Node
from ..kept_walk import Walk, walked
from ..kinks_nearby import downstream, find_kinks
from ..norms import norm
from ..progress import followed
from ..recorded_tensors import recorded, refuse_written
from ..reverse_walk import grad
from ..rounding_noise import Noise, noise, shared
from ..tensors import Array, Tensor, from_array
from .chain_rule import Chain
from .derivatives import Forward, Use
from .diagnosing import named
from .first_wrong_rule import first_wrong
from .function_under_check import Called, called, replayed, upstream_of
from .in_double_precision import promoted, single
from .malformed_rules import broken_rule
from .report import Comparison, GradientError, Report
from .tolerances import DIFFERENCE_STEP, finite, tolerance, underflow
from .trust_in_references import untrue

METHODS = ("complex-step", "finite-difference", "projection")
#: random directions that stand for all elements of a large tensor
PROBES = 4
#: roles whose gradient is compared at every time step
STATES = ("h", "c")


@answerable
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
    picture: PathLike | None = None,
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

    Raises `GradientError` if a gradient is wrong, `ArgumentError` for a setting that means nothing, `GraphError` if
    there is nothing to check, `DTypeError` for what is no function, graph or tensor.

    >>> import tinygrad_rnn as tg
    >>> report = tg.check_gradients(lambda x, w: (x @ w).tanh().sum(), [[[1.0, 2.0]], [[0.5], [-0.3]]])
    >>> report.verdict
    'passed'
    """
    if method not in METHODS or order not in (1, 2):
        raise ArgumentError(
            f"check_gradients: method is one of {', '.join(METHODS)} and order 1 or 2, not {method!r} and {order!r}"
        )
    if isinstance(function, Tensor) and inputs is not None:
        function = Graph(function)
    if isinstance(function, Tensor):
        refuse_written(function, "check")
        outputs, names, unsteady, severed = Called([function], {})
    elif isinstance(function, Graph):
        outputs, names, unsteady, severed = Called(replayed(function, inputs), {})
    elif not callable(function):
        raise DTypeError(
            f"check_gradients takes a function, a graph or a tensor that was computed, not {type(function).__name__}"
        )
    else:
        outputs, names, unsteady, severed = called(function, inputs)
    graph = Graph(*outputs)
    if not graph.parameters:
        raise GraphError(
            "check_gradients: no leaf that requires a gradient leads to what was returned; inputs that are "
            "floats (no integers) become such leaves, and detach(), numpy() and no_grad cut off what they are put on"
        )
    upstream = upstream_of(outputs, grad_outputs, np.random.default_rng(seed))
    check = _Check(graph, outputs, upstream, method, names, max_elements, max_steps, seed)
    report = check.report(order)
    if (lift := _lift(report, upstream)) > 1:
        lifted = _Check(
            graph, outputs, [g * lift for g in upstream], method, names, max_elements, max_steps, seed, lift
        )
        passed = not report.wrong
        report.comparisons = _with_faint_ones_of(lifted.report(order), report.comparisons)
        if passed and report.wrong:
            check = lifted
    report.unsteady, report.severed = unsteady, severed
    if report.wrong and not unsteady:
        report.blame = check.blame()
        report.diagnosis = check.diagnosis()
    if picture is not None and not report:
        report.picture = Path(picture)
        scalar = len(outputs) == 1 and outputs[0].shape == ()
        drawn = outputs[0] if scalar else graph
        drawing().render(drawn, report.picture, detail="op", values=True, grads=scalar)
    if raise_exception and not report:
        raise GradientError(report)
    return report


class _Check:
    """One function at one point: what the engine says, and what moving values says."""

    def __init__(
        self,
        graph: Graph,
        outputs: Sequence[Tensor],
        upstream: list[Array],
        method: str,
        names: Mapping[int, str],
        max_elements: int,
        max_steps: int,
        seed: int,
        lift: float = 1.0,
    ) -> None:
        """``lift``: how much larger ``upstream`` is than what was asked for; double precision alone has room for it."""
        self.lift = lift
        self.max_elements, self.max_steps, self.seed = max_elements, max_steps, seed
        self.notes: list[str] = []
        self.names = {node.index: names[node.serial] for node in graph.nodes if node.serial in names}
        self.precisions = [] if single(graph) and lift > 1 else [_Precision(graph, outputs, upstream)]
        if single(graph):
            self.precisions.insert(0, _Precision(*promoted(graph, outputs), [g.astype(np.float64) for g in upstream]))
            self._tell_precision()
        best = self.precisions[0]
        self.graph, self.outputs, self.upstream = best.graph, best.outputs, best.upstream
        self.forward = Forward(self.graph, self.upstream)
        if method != "finite-difference":
            why = "a reference does not take complex values"
            wrong = untrue(self.forward) if self.forward.analytic else None
            if wrong:
                why = f"the reference of {wrong} has another slope at complex values than at real ones"
                self.forward.analytic = False
            if not self.forward.analytic:
                method = "finite-difference"
                self.notes.append(f"{why}, so by five-point differences instead")
        self.method = method
        self.stepping = "finite-difference" if method == "finite-difference" else "complex-step"
        self.chain: Chain | None = None
        self.broken = self._walk()

    def _tell_precision(self) -> None:
        kept = next((node for node in self.precisions[0].graph.nodes if node.dtype == np.float32), None)
        row = tolerance("complex-step", np.float32)
        if kept is None:
            self.notes.append(
                "judged twice: with every leaf, constant and cast of float32 in float64, and as it is in float32, "
                f"where {row.rtol:g} of a gradient's size is allowed ({row.why})"
            )
        else:
            self.notes.append(
                f"could not be judged in float64: {kept.op.name if kept.op else kept.label} (at {kept.site}) gives "
                f"float32 whatever it is given, so {row.rtol:g} of a gradient's size is allowed ({row.why})"
            )

    def _walk(self) -> str | None:
        """Walk back in every precision, and measure what rounding does; what is wrong with a rule that fails."""
        try:
            for precision in self.precisions:
                precision.engine = walked(precision.graph, precision.outputs, precision.upstream)
        except Exception:
            broken = broken_rule(precision.graph)
            if broken is None:
                raise
            return broken
        coarsest = self.precisions[-1]
        floor = noise(self.graph, self.upstream, self.precisions[0].engine, coarsest.dtype)
        for precision in self.precisions:
            precision.noise = floor.scaled(np.finfo(precision.dtype).eps / np.finfo(coarsest.dtype).eps)
        return None

    def blame(self) -> str | None:
        """The operation whose rule is wrong, if one can be told: in double precision, if it is wrong there."""
        if not self.forward.analytic:
            return None
        found = (first_wrong(self.forward, self.chain, p.engine, p.noise, p.dtype) for p in self.precisions)
        return next((blamed for blamed in found if blamed), None)

    def diagnosis(self) -> str | None:
        """The mistake that makes these wrong gradients, if one can be named."""
        best = self.precisions[0]
        leaves = self.graph.parameters
        if not self.forward.analytic or best.dtype != np.float64 or self.broken:
            return None
        given = {leaf: best.whole[node.index] for leaf, node in zip(best.leaves(leaves), leaves, strict=True)}
        largest = max((norm(g) for g in given.values() if g is not None), default=0.0)
        if not 0 < largest < np.inf:
            return None
        # gradients are linear in what comes in: of ordinary size, no edit over- or underflows
        size = 2.0 ** -np.clip(np.frexp(largest)[1], -1000, 1000)
        upstream = [u * size for u in self.upstream]
        with np.errstate(all="ignore"):
            return named(self.outputs, upstream, {leaf: g * size for leaf, g in given.items() if g is not None})

    # Comparing -------------------------------------------------------------------------------------------

    def report(self, order: int) -> Report:
        """Compare every tensor's gradient and every time step's share of it, and say what differs."""
        if self.broken:
            return Report([], self.method, notes=self.notes, broken=self.broken)
        leaves = self.graph.parameters
        states = [
            node
            for node in self.graph.nodes
            if node.op is not None and node.role in STATES and node.scope.step is not None and node.requires_grad
        ]
        looked_at = self._some(sorted({node.scope.step for node in states if node.scope.step is not None}))
        states = [node for node in states if node.scope.step in looked_at]
        if self.method == "complex-step":
            chain = Chain(self.forward, self._evaluations(leaves, states))
            self.chain = chain if chain.complete else None
        comparisons: list[Comparison] = []
        for leaf in followed(leaves, "comparing leaves", len(leaves)):
            comparisons += self._leaf(leaf)
        for node in followed(states, "comparing states", len(states)):
            got = [p.engine.gradients.get(node.index) for p in self.precisions]
            floors = [p.noise.gradients.get(node.index) for p in self.precisions]
            comparisons += self._compared(node, "gradient", node.scope.step, got, floors, None)
        if order == 2:
            comparisons += self._second(leaves)
        report = Report(comparisons, self.method, notes=self.notes, infinite=self._not_finite())
        self._find_kinks(report, [*leaves, *states])
        return report

    def _evaluations(self, leaves: Sequence[Node], states: Sequence[Node]) -> float:
        """The number of operations evaluated if each comparison computes all that follows: `Chain` must need less."""
        uses = [len(self.graph.consumers[leaf.index]) for leaf in leaves]
        sizes = [int(np.prod(node.shape)) for node in (*leaves, *states)]
        each = [size if size <= self.max_elements else PROBES for size in sizes]
        often = [1 + min(n, self.max_steps) for n in uses] + [1] * len(states)
        return 0.5 * len(self.graph) * sum(n * k for n, k in zip(each, often, strict=True)) + 10_000

    def _not_finite(self) -> str | None:
        """A sentence on the first node whose value is not finite, if an output is not."""
        values = self.forward.values
        given = [values[i][g != 0] for i, g in zip(self.graph.outputs, self.upstream, strict=True)]
        wrong = [y[~np.isfinite(y)] for y in given if not np.isfinite(y).all()]
        if not wrong:
            return None
        bad = [node for node in self.graph.nodes if not np.isfinite(values[node.index]).all()]
        made = [node for node in bad if all(np.isfinite(values[source]).all() for source in node.sources)]
        node = next((node for node in made if node.op), bad[0])
        at = first_place(~np.isfinite(values[node.index]))
        name = (node.op.name if node.op else f"the leaf {self._name(node)}") + subscript(at)
        return f"the function gives {wrong[0][0]:g}; first {values[node.index][at]:g} is {name} (at {node.site})"

    def _some(self, steps: list[Any]) -> list[Any]:
        if len(steps) <= self.max_steps:
            return steps
        note = f"{self.max_steps} of {len(steps)} time steps were looked at one by one; max_steps sets how many"
        if note not in self.notes:
            self.notes.append(note)
        return [steps[round(k)] for k in np.linspace(0, len(steps) - 1, self.max_steps)]

    def _leaf(self, leaf: Node) -> list[Comparison]:
        """The whole gradient as `grad` gives it, and each time step's share as the walk sends it."""
        whole = [p.whole[leaf.index] for p in self.precisions]
        floors = [p.noise.gradients.get(leaf.index) for p in self.precisions]
        comparisons = self._compared(leaf, "gradient", None, whole, floors, None)
        groups: dict[Any, list[Use]] = {}
        for use in self.forward.uses(leaf.index):
            scope = self.graph.nodes[use[0]].scope
            groups.setdefault((scope.path, scope.step) if use[1] >= 0 else ((), None), []).append(use)
        if len(groups) == 1:
            return comparisons
        keys = {use: place for place, uses in groups.items() for use in uses}
        found = [(shared(p.engine, keys), shared(p.noise, keys)) for p in self.precisions]
        for path, step in self._some(list(groups)):
            uses = groups[path, step]
            shares = [sent.get((path, step)) for sent, _ in found]
            if any(slot < 0 for _, slot in uses):
                shares = [self.forward.seed(leaf.index) + (0.0 if share is None else share) for share in shares]
            floors = [noises.get((path, step)) for _, noises in found]
            comparisons += self._compared(leaf, "contribution", step, shares, floors, uses, path=path)
        return comparisons

    def _name(self, node: Node) -> str:
        name = self.names.get(node.index) or node.name or node.role or (node.op.name if node.op else "a leaf")
        return ".".join((*node.scope.path, name)) if node.op is not None else name

    def _compared(
        self,
        node: Node,
        quantity: str,
        step: int | None,
        found: Sequence[Array | None],
        floors: Sequence[Array | None],
        uses: list[Use] | None,
        path: tuple[str, ...] = (),
    ) -> list[Comparison]:
        """One comparison a precision; what is expected is computed once, in double."""
        name = self._name(node)
        if uses is not None and path and not node.op:
            name = f"{name} in {'.'.join(path)}"
        size = int(np.prod(node.shape))
        projected = self.method == "projection" or size > self.max_elements
        rng = np.random.default_rng([self.seed, node.index])
        directions = [np.asarray(rng.standard_normal(node.shape)) for _ in range(PROBES if projected else 0)]
        if self.chain is not None:
            expected = self.chain.of(node.index, uses)
            if projected:
                expected = np.array([np.sum(expected * v) for v in directions])
        elif projected:
            expected = np.array([self.forward.slope(node.index, v, uses, self.stepping) for v in directions])
        else:
            expected = self.forward.gradient(node.index, uses, self.stepping)
        comparisons = []
        for precision, value, floor in zip(self.precisions, found, floors, strict=True):
            got = np.zeros(node.shape) if value is None else value.astype(np.float64)
            if projected:
                got = np.array([np.sum(got * v) for v in directions])
            rounding = (0.0 if floor is None else norm(floor)) + underflow(precision.dtype, size)
            if self.stepping == "finite-difference":
                rounding += self._difference_noise(node)
            rtol = tolerance(self.stepping, precision.dtype).rtol
            what = f"{quantity} in float32" if precision is not self.precisions[0] else quantity
            comparisons.append(
                Comparison(name, what, step, got, expected, rtol, rounding, node.site, node.index, projected, self.lift)
            )
        return comparisons

    def _difference_noise(self, node: Node) -> float:
        """The error of a difference of ``L`` that rounding ``L`` itself makes; it grows with the size of ``L``."""
        size = sum(float(np.abs(g * self.forward.values[i]).sum()) for g, i in zip(self.upstream, self.graph.outputs))
        return float(np.finfo(np.float64).eps) / DIFFERENCE_STEP * size * max(1, int(np.prod(node.shape))) ** 0.5 / 8

    # The second derivative -------------------------------------------------------------------------------

    def _second(self, leaves: Sequence[Node]) -> list[Comparison]:
        """Hessian times a random direction: the recorded walk's gradient against differences of complex steps."""
        rng = np.random.default_rng(self.seed)
        length = sum(int(np.prod(leaf.shape)) for leaf in leaves) ** 0.5
        directions = {leaf.index: np.asarray(rng.standard_normal(leaf.shape)) / length for leaf in leaves}
        tensors = self.precisions[0].leaves(leaves)
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
            points.append(self._gradient_at(Forward(self.graph, self.upstream, moved)))
        comparisons = []
        for leaf, second, g in zip(leaves, found, first, strict=True):
            low2, low, high, high2 = (gradient(leaf.index) for gradient in points)
            expected = (low2 - 8 * low + 8 * high - high2) / (12 * DIFFERENCE_STEP)
            got = np.zeros(leaf.shape) if second is None else second.numpy().astype(np.float64)
            size = 0.0 if g is None else norm(g.numpy())
            floor = norm(self.precisions[0].noise.gradients.get(leaf.index, 0.0))
            eps = float(np.finfo(self.precisions[0].dtype).eps)
            rounding = (eps * size + floor) / DIFFERENCE_STEP + DIFFERENCE_STEP**4 * size
            rtol = tolerance("second derivative", self.precisions[0].dtype).rtol
            name = self._name(leaf)
            comparisons.append(
                Comparison(name, "second derivative", None, got, expected, rtol, rounding, leaf.site, leaf.index)
            )
        return comparisons

    def _gradient_at(self, point: Forward) -> Callable[[int], Array]:
        """The gradients of another point, found as at this one."""
        chain = Chain(point) if self.chain is not None and point.analytic else None
        return chain.of if chain else lambda index: point.gradient(index, None, self.stepping)

    # Kinks -----------------------------------------------------------------------------------------------

    def _find_kinks(self, report: Report, judged: Sequence[Node]) -> None:
        """Name the tensors whose derivative does not exist here; with differences, only those that also disagree."""
        leaves = [leaf.index for leaf in self.graph.parameters]
        # a value moved by differences moves what it feeds, by how much is anyone's guess
        reach = 8 * DIFFERENCE_STEP if self.stepping == "finite-difference" else 0.0
        kinks = find_kinks(self.graph, self.forward.values, leaves, self.precisions[-1].noise.values, reach)
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
        arrived = self.precisions[0].engine.gradients.get(node.index)
        return arrived is not None and bool(arrived[index])


#: gradients below this are near to where doubles lose digits, and what they lose hides a wrong one
FAINT = 1e-290


def _faint(comparison: Comparison) -> bool:
    size = max(norm(finite(comparison.expected)), norm(finite(comparison.got)))
    return 0 < size < FAINT and "float32" not in comparison.quantity


def _lift(report: Report, upstream: Sequence[Array]) -> float:
    """The factor by which more must flow back for the faintest gradients to have all digits; 1 if they have."""
    if report.broken or report.infinite or not any(map(_faint, report.comparisons)):
        return 1.0
    sizes = [float(np.abs(c.expected).max(initial=0.0)) for c in report.comparisons if np.isfinite(c.expected).all()]
    largest = max([*sizes, *(float(np.abs(g).max(initial=0.0)) for g in upstream)])
    return float(2.0 ** min(500, 900 - np.frexp(largest)[1]))


def _with_faint_ones_of(lifted: Report, comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons, those of faint gradients by what came of a larger upstream gradient: gradients are linear."""
    found = {(c.node, c.name, c.quantity, c.step): c for c in lifted.comparisons}
    return [found.get((c.node, c.name, c.quantity, c.step), c) if _faint(c) else c for c in comparisons]


class _Precision:
    """The function as it is computed in one precision, and what the engine says of it."""

    engine: Walk
    noise: Noise

    def __init__(self, graph: Graph, outputs: Sequence[Tensor], upstream: list[Array]) -> None:
        self.graph, self.outputs, self.upstream = graph, outputs, upstream
        floats = [node.dtype for node in graph.nodes if node.dtype.kind == "f"]
        self.dtype = min(floats, key=lambda dtype: dtype.itemsize)  #: the coarsest of its values

    def leaves(self, nodes: Sequence[Node]) -> list[Tensor]:
        """The tensors of leaves, by position."""
        tensors = recorded(*self.outputs)
        return [tensors[self.graph.nodes[node.index].serial] for node in nodes]

    @cached_property
    def whole(self) -> dict[int, Array | None]:
        """The gradient of every parameter, as `grad` gives it."""
        leaves = self.graph.parameters
        found = grad(self.outputs, self.leaves(leaves), list(self.upstream), retain_graph=True, allow_unused=True)
        return {leaf.index: None if g is None else g.numpy() for leaf, g in zip(leaves, found, strict=True)}
