"""`compile`: a Python function on tensors becomes a program that is traced once and replayed."""

from __future__ import annotations

import copy
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, update_wrapper
from types import MethodType
from typing import TYPE_CHECKING, Any, NoReturn, overload

import numpy as np

from ..arguments import answerable, answering_methods, integer, refuse_call
from ..array_conversion import as_array
from ..collector import collector_paused
from ..errors import DTypeError, GraphError
from ..optional_packages import needed
from ..random import random_state, set_random_state
from ..recurrence.loop import Unrolled, shortest
from ..recurrence.loop_finder import LoopFinder
from ..source_line import user_code
from ..tensors import Array, Tensor, from_array, serials
from ..thread_state import current
from ..user_objects import entries_of, is_of, of_parts
from ..version_counters import Memory
from ..waiting_gradients import Turns, Waiting
from .bytecode import refuse_assignments
from .index_checks import Ignored, unforeseen
from .outside_state import Surroundings
from .plan import Plan
from .returned_values import Returned, rebuilt
from .side_effects import refuse_random, refuse_writes
from .snapshots import Snapshot
from .tensor_attributes import same_arguments
from .tracing import Met, Traced, TracedProgram, Tracer, leads_to, refuse_leaks

if TYPE_CHECKING:
    from .passes import Applied

#: programs kept per function: one for each combination of shapes, the oldest forgotten
CACHED = 16


#: all there are
_functions: weakref.WeakSet[CompiledFunction] = weakref.WeakSet()


def _unlock() -> None:
    """In a child process no other thread is inside a call, whatever the lock that was copied says."""
    for function in list(_functions):
        function._turns.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


@dataclass(eq=False)
class _Compiled:
    trace: TracedProgram
    graph: Plan
    program: Any
    applied: list[Applied]
    template: Any  #: the result with its tensors taken out
    written: list[Tensor]  #: the tensors that a call assigns to
    cleared: list[Tensor]  #: the tensors whose ``.grad`` a call forgets
    kept: list[tuple[Any, int | None]]  #: what becomes of every other ``.grad``, as in `TracedProgram`
    waiting: list[tuple[Tensor, int, Waiting]]  #: those whose ``.grad`` is one of the results, when it is asked for
    holds: Callable[[], bool]  #: whether the conditions it was recorded under are still true
    met: list[tuple[int, int]]  #: (position, serial) of arguments that the function also uses from outside
    seconds: float
    undone: list[Snapshot]  #: what recording it left changed, as it was before, if it is for one call
    asked: Callable[[list[Any]], bool] | None  #: whether arguments answer as they did, where they were asked
    may_draw_again: bool  #: whether it draws random numbers, and may end because a target is one to ignore

    def fits(self, given: list[Any]) -> bool:
        """Whether it is what arguments like these need, now; then it reads and writes what is there now."""
        if _met(given, self.trace.outside) != self.met or not self.holds() or not self.program.bind():
            return False
        for source, x in self.trace.apart:
            asked: Any = given[x] if type(x) is int else x
            if leads_to(given[source], asked.serial):
                return False
        return self.asked is None or self.asked(given)

    def part_with_gradients(self) -> None:
        """Copy those that wait in the program's memory, which is about to be written otherwise than by a call."""
        for tensor, _, waiting in self.waiting:
            if tensor._grad is waiting:
                tensor._gradient()


Programs = OrderedDict[Any, list[_Compiled]]


class _Kept:
    """The programs for one object, such as the instance a method is called on.

    It is an entry of the object's ``__dict__``, so that the programs are freed with the object.
    """

    def __init__(self, owner: Any = None) -> None:
        self._owner = None if owner is None else weakref.ref(owner)
        self._programs: weakref.WeakKeyDictionary[CompiledFunction, Programs] = weakref.WeakKeyDictionary()

    @staticmethod
    def by(owner: Any, function: CompiledFunction) -> Programs:
        """The programs that ``owner`` keeps for ``function``."""
        entries = entries_of(owner)
        assert entries is not None
        kept = entries.get(_KEPT)
        if kept is None or kept._owner is None or kept._owner() is not owner:  # it came with a copy of the attributes
            kept = entries[_KEPT] = _Kept(owner)
        programs: Programs = kept._programs.setdefault(function, OrderedDict())
        return programs

    def __reduce__(self) -> Any:
        return _Kept, ()  # a copy has none


#: where an object keeps its programs
_KEPT = "_compiled_programs"


@answering_methods("compiled function")
class CompiledFunction:
    """A compiled function, which `compile` returns: call it as the function it was made from."""

    recorder: type[Tracer] = Tracer  #: what the function is run under to learn what it computes
    returns_aliases = True  #: whether what is returned as it came is that tensor itself, and no output of the graph

    def __init__(self, fn: Callable[..., Any], threads: int | None = None, memory_budget: int | None = None) -> None:
        if not callable(fn):
            raise DTypeError(f"compile takes a function, not {type(fn).__name__}")
        if code := getattr(fn, "__code__", None):
            refuse_assignments(code, code.co_freevars)
        self._fn = fn
        self._threads = None if threads is None else integer(threads, "compile: threads")
        self._budget = None if memory_budget is None else integer(memory_budget, "compile: memory_budget")
        self._programs: Programs = OrderedDict()
        self._last: Callable[[], _Compiled | None] = lambda: None
        self._recent: tuple[list[Any], _Compiled | None] = [], None  # the key and program of the last call
        self._turns = Turns()  # one arena a program
        self._ignoring = False  # whether a call has met a target that is one to ignore
        #: how many programs were recorded so far; many more than there are shapes means that something keeps changing
        self.recordings = 0
        _functions.add(self)
        update_wrapper(self, fn, updated=())  # a module's attributes are not this one's

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        now = vars(current)
        if now["tracer"] is not None:  # inside another one, which records it
            return self._fn(*args, **kwargs)
        given: list[Tensor | Array] = []
        key: list[Any] = [now["recording"]]
        objects: list[Any] = []
        for value in args:
            if type(value) is Tensor and not value.requires_grad:  # as `_flatten` would, without a call
                given.append(value)
                key.append((value._array.shape, value._array.dtype, False))
            else:
                _flatten(value, given, key, objects)
        for name, value in kwargs.items():
            key.append(name)
            _flatten(value, given, key, objects)
        if len(given) > 1 and len(distinct := list(map(id, given))) > len(set(distinct)):
            key.append(tuple(map(distinct.index, distinct)))  # what is passed twice
        arrays = [x._array if isinstance(x, Tensor) else x for x in given]
        with self._turns.lock:
            last_key, compiled = self._recent
            if compiled is None or objects or key != last_key or not compiled.fits(given):
                programs = _Kept.by(objects[0], self) if objects else self._programs
                compiled = self._find(programs, (*key, *objects[1:]), given, args, kwargs)
                self._recent = ([], None) if objects else (key, compiled)
            trace = compiled.trace
            drawn = random_state() if compiled.may_draw_again else None
            try:
                results = compiled.program.run(arrays)
            except BaseException as error:
                for _, _, waiting in compiled.waiting:
                    waiting.array = None
                if not isinstance(error, Ignored):
                    raise
                self._expect_ignored(compiled, drawn)
                return self(*args, **kwargs)
            for schedule, _ in trace.schedules:
                schedule.count()
            for holder, name, array in trace.entries:
                holder.setdefault(name, array)
            tensor: Any
            for tensor in compiled.cleared:
                tensor._grad = None
            for target, position in compiled.kept:
                tensor = given[target] if type(target) is int else target
                tensor._grad = None if position is None else from_array(results[position])
            for tensor, position, waiting in compiled.waiting:
                waiting.array = results[position]
                tensor._grad = waiting
            if compiled.written:
                # tell the guard against in-place writes that parameters changed
                Memory.touch([tensor._memory for tensor in compiled.written], next(serials), user_code())
        return rebuilt(compiled.template, results, given, {})

    def for_each(self, *stacked: Tensor | Array) -> Any:
        """The results of a call for each row of the arguments, stacked: many training steps in one call.

        Returned and left behind is what calling the function with ``x[0], y[0]``, then with ``x[1], y[1]``, and so on
        gives: the same numbers, parameters, optimizer's state and errors. Only what Python does around each call is
        done for all of them at once, which is most of the time of a small step. Functions that draw random numbers, run
        on two threads or compute something through Python are called one by one.

        Args:
            stacked: tensors that require no gradient, or arrays, of shape ``(calls, ...)``.

        Returns what one call returns, every tensor in it with a first axis of ``calls``.

        Raises `ShapeError` if an argument has no rows or not as many as another. An error in a call is that call's:
        those before it have been made.

        >>> import numpy as np
        >>> import tinygrad_rnn as tg
        >>> w = tg.nn.Parameter([1.0])
        >>> optimizer = tg.optim.SGD([w], lr=0.5)
        >>> @tg.compile
        ... def step(x):
        ...     loss = (w * x).square().sum()
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     optimizer.step()
        ...     return loss
        >>> losses = step.for_each(np.full((4, 1), 0.5, np.float32))
        >>> losses.shape, [round(loss, 4) for loss in losses.tolist()]
        ((4,), [0.25, 0.1406, 0.0791, 0.0445])
        """
        from .many_calls import for_each

        return for_each(self, stacked)

    def _expect_ignored(self, failed: _Compiled, drawn: Any) -> None:
        """Record anew, for targets to ignore; what has happened so far is undone."""
        self._ignoring, failed.holds = True, bool
        if drawn is not None:
            set_random_state(drawn)
        for each in failed.undone:
            each.restore()

    def _find(self, programs: Programs, key: Any, given: list[Any], args: Any, kwargs: Any) -> _Compiled:
        candidates = programs.get(key, [])
        for compiled in candidates:
            if compiled.fits(given):
                self._last = weakref.ref(compiled)
                return compiled
        with collector_paused():
            now, later = self._compile(given, args, kwargs)
        now.program.bind()
        programs[key] = [later, *candidates[: CACHED - 1]]
        if len(programs) > CACHED:
            programs.popitem(last=False)
        self._last = weakref.ref(later)
        return now

    def _compile(self, given: list[Any], args: Any, kwargs: Any) -> tuple[_Compiled, _Compiled]:
        """The program for this call, and the one for later calls.

        They differ where a first call leaves something behind that later ones use, such as a mask that is made once.
        """
        began = time.perf_counter()
        refuse_call(self._fn, args, kwargs, getattr(self, "__name__", "the compiled function"))
        written: list[Snapshot] = []
        try:
            rolls = shortest(self._threads or available_threads()) if self._budget is None else None
            recorded, written = self._recordings(args, kwargs, rolls)
            made = [self._lowered(trace, template, given, began) for trace, template in recorded]
        except Unrolled:  # a loop does something that there is no instruction for
            for each in written:
                each.restore()
            recorded, written = self._recordings(args, kwargs)
            made = [self._lowered(trace, template, given, began) for trace, template in recorded]
        for first in made[:-1]:
            first.holds = bool  # it is for one call
            first.undone = written
        self.recordings += 1
        return made[0], made[-1]

    def _lowered(self, trace: TracedProgram, template: Any, given: list[Any], began: float) -> _Compiled:
        from .passes import optimize

        threads = self._threads or available_threads()
        graph, applied = optimize(trace.graph, threads)
        program = _program(graph, trace, self._budget)
        if program is None:
            graph, applied = optimize(trace.graph, threads, sparing=True)
            program = _program(graph, trace)
            if program.arena_bytes > (self._budget or 0):
                raise GraphError(
                    f"the memory budget of {self._budget} bytes is too small: even with values computed again the "
                    f"function needs {program.arena_bytes}; shorten the sequence, or allow that much"
                )
        written = [x for serial in trace.assignments if (x := trace.cells[serial].tensor) is not None]
        return _Compiled(
            trace,
            graph,
            program,
            applied,
            template,
            written=written,
            cleared=[x for x, position in trace.kept if position is None and isinstance(x, Tensor)],
            kept=[(x, position) for x, position in trace.kept if position is not None or not isinstance(x, Tensor)],
            waiting=[(tensor, position, Waiting(self._turns)) for tensor, position in trace.waiting],
            holds=trace.conditions.compiled(),
            met=_met(given, trace.outside),
            asked=same_arguments(given) if trace.asks_arguments else None,
            may_draw_again=bool(trace.live) and not trace.ignoring and any(map(unforeseen, graph.nodes)),
            seconds=time.perf_counter() - began,
            undone=[],
        )

    def _trace(self, args: Any, kwargs: Any, rolls: int | None = None) -> tuple[TracedProgram, Any]:
        return self._recordings(args, kwargs, rolls)[0][-1]

    def _recordings(
        self, args: Any, kwargs: Any, rolls: int | None = None
    ) -> tuple[list[tuple[TracedProgram, Any]], list[Snapshot]]:
        """The recordings of the function, and snapshots of what it wrote outside itself, as that was before.

        There is one recording, or two where the first run wrote something that changes what later runs do.
        """
        met: set[int] = set()
        recorded: list[tuple[TracedProgram, Any]] = []
        earlier: list[Snapshot] = []  # objects outside as they were before the first run changed them
        while True:
            tracer, around = self._tracer(met), Surroundings(self._fn)
            tracer.rolls = rolls
            tracer.loops = None if rolls is None else LoopFinder(rolls > shortest(1))
            before = around.random_state()
            try:
                with around.watching():
                    trace, template = self._record(tracer, args, kwargs, around)
            except Met as again:
                met.add(again.serial)
                around.restore()
                continue
            except Unrolled:
                rolls = None
                around.restore()
                continue
            except Exception:
                if not tracer.inner:
                    raise
                rolls = None  # the error may come of recording one step for all: try with every step written out
                around.restore()
                continue
            recorded.append((trace, template))
            if around.drew(before):
                refuse_random(
                    lambda: self._record(self._tracer(met), args, kwargs),
                    around.random_state,
                    getattr(self._fn, "__code__", None),
                )
            written = [x for x in around.written() if not any(is_of(value, Traced) for value in x.values())]
            if not written:
                break
            if earlier or any(each.goes_forward for each in written):  # every run writes, not the first alone
                self._refuse_writes(met, args, kwargs, [*written, *earlier])
            earlier.extend(written)
            tracer.forget()
        around.depend_on(earlier)
        around.add_to(trace.conditions, trace.outside)
        for each, _ in recorded:
            each.asks_arguments = around.asks_arguments
        del around
        tracer.forget()
        gone = weakref.ref(tracer)
        del tracer
        refuse_leaks(gone)
        return recorded, earlier

    def _tracer(self, met: set[int]) -> Tracer:
        tracer = self.recorder(met)
        tracer.ignoring = tracer.ignoring or self._ignoring
        return tracer

    def _refuse_writes(self, met: set[int], args: Any, kwargs: Any, written: list[Snapshot]) -> None:
        """Name the line that writes in every call, with everything put back as it was found."""
        for each in written:
            each.restore()
        around = Surroundings(self._fn)

        def run() -> None:
            with around.watching():
                self._record(self._tracer(met), args, kwargs, around)

        try:
            refuse_writes(run, around.written)
        finally:
            for each in written:
                each.restore()

    def _record(
        self, tracer: Tracer, args: Any, kwargs: Any, around: Surroundings | None = None
    ) -> tuple[TracedProgram, Any]:
        tracer.look = None if around is None else around.look
        with tracer.running():
            stand_ins = [_stand_in(value, tracer, f"input {i}") for i, value in enumerate(args)]
            named = {name: _stand_in(value, tracer, name) for name, value in kwargs.items()}
            if around is not None:
                around.given((stand_ins, named), "an argument")
            result = self._fn(*stand_ins, **named)
            returned = Returned(tracer, self._known_as, self.returns_aliases)
            template = returned.template(result)
            return tracer.finish([tracer.assigned.get(x.serial, x) for x in returned.outputs]), template

    @property
    def _known_as(self) -> str:
        """The name in messages; a module has none of its own."""
        return str(getattr(self, "__qualname__", type(self._fn).__name__))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Below ``@compile`` a method is one, too."""
        return self if instance is None else MethodType(self, instance)

    def __copy__(self) -> CompiledFunction:
        """Another one for the same function, with programs of its own."""
        return type(self)(self._fn, self._threads, self._budget)

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledFunction:
        """One for a copy of the function: of a method, of the copied object; a plain function is its own copy."""
        return type(self)(copy.deepcopy(self._fn, memo), self._threads, self._budget)

    def __reduce__(self) -> NoReturn:
        raise GraphError(
            f"the compiled {self._known_as} cannot be pickled, because programs belong to a process; pickle what it "
            "was made from, and compile that again"
        )

    # Looking ---------------------------------------------------------------------------------------------

    def trace(self, *args: Any, **kwargs: Any) -> TracedProgram:
        """The graph as recorded, before any pass, for arguments like these. Nothing is run.

        Every time step is in it, also those that a call would run as a loop.
        """
        return self._trace(args, kwargs)[0]

    @property
    def graph(self) -> Plan:
        """The graph that the last call ran, after all passes."""
        return self._called().graph

    def _called(self) -> _Compiled:
        last = self._last()
        if last is None:
            raise GraphError("a compiled function has no graph before its first call, which tells it the shapes")
        return last

    def explain(self) -> str:
        """A table of what the last call ran: passes, instructions, arithmetic, memory traffic and time of each kind.

        For the times the instructions are run again, one by one; parameters and optimizer state stay as they are.
        """
        from .summary import table

        last = self._called()
        with self._turns.lock:
            last.part_with_gradients()
            return table(last.applied, last.program.profile(), last.program, last.seconds)


def available_threads() -> int:
    """The number of threads a compiled function may use: 2 where there are two processors and no variable says 1."""
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name) == "1":
            return 1
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        processors = os.cpu_count() or 1
    return min(2, processors)


@overload
def compile(
    fn: Callable[..., Any], threads: int | None = None, memory_budget: int | None = None
) -> CompiledFunction: ...
@overload
def compile(
    fn: None = None, threads: int | None = None, memory_budget: int | None = None
) -> Callable[[Callable[..., Any]], CompiledFunction]: ...
@answerable
def compile(fn: Callable[..., Any] | None = None, threads: int | None = None, memory_budget: int | None = None) -> Any:
    """A function that records ``fn`` once for each combination of argument shapes and replays it without Python.

    ``fn`` may do a whole training step: forward, loss, ``backward``, clipping, ``optimizer.step()``. Tensors and
    arrays among its arguments, also inside tuples, lists and dicts, are inputs, whose values may change from call to
    call; everything else is part of the recording, and another value records anew. What it made it returns as new
    tensors that are not part of any graph: where a gradient would flow on from one, that is an error; what it returns
    as it came, an argument or a parameter, is that tensor itself. Parameters and the optimizer's state are updated in
    place. ``.grad`` accumulates and is there afterwards as it is without compiling.

    What needs a value while recording (``item``, ``if x > 0``), draws random numbers (this package's, Python's,
    NumPy's, the operating system's), reads a clock or a file, prints, asks the operating system, takes from an iterator
    from outside, keeps a tensor anywhere but in the result, or changes what outlives the call
    (``self.n += 1``, ``losses.append(...)``) is an error that names the line, and what was changed is put back. What a
    second recording finds as the first one left it may be kept: a mask made once. Globals, enclosing names,
    attributes, classes, code and defaults of functions, containers, arrays and the environment are watched, however it
    comes to them: when one has changed, it is recorded anew; ``recordings`` counts. Programs for an object, such as
    the one a compiled method is called on, die with it. Calls from several threads take turns.

    A large step over a batch runs on two ``threads``, half the sequences on each (None: if there are two processors and
    ``OPENBLAS_NUM_THREADS`` is not 1). The result does not depend on which is faster, but differs in rounding from that
    of one thread.

    ``memory_budget``: bytes that values computed in between may take. What would need more keeps only every
    ``sqrt(T)``-th state and computes the rest of the forward pass again, gradients unchanged. Without ``fn`` it is a
    decorator with settings: ``@tg.compile(memory_budget=10**8)``.

    >>> import tinygrad_rnn as tg
    >>> w = tg.nn.Parameter([1.0, 2.0])
    >>> optimizer = tg.optim.SGD([w], lr=0.5)
    >>> @tg.compile
    ... def step(x):
    ...     loss = (w * x).sum()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> step(tg.tensor([1.0, 1.0])), step(tg.tensor([2.0, 0.0])), w
    (tensor(3., requires_grad=True), tensor(1., requires_grad=True), tensor([-0.5,  1.5], requires_grad=True))
    """
    if fn is None:
        return partial(CompiledFunction, threads=threads, memory_budget=memory_budget)
    return CompiledFunction(fn, threads, memory_budget)


def _program(graph: Plan, trace: TracedProgram, budget: int | None = None) -> Any:
    """The program that runs the graph; None if its arena would not fit the budget."""
    with needed("tg.compile", "compile"):
        from .loop_lowering import lower
        from .program import Program, plan

    code = lower(graph, trace)
    offsets, room = plan(code)
    if budget is not None and room > budget:
        return None
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        from .reference_program import ReferenceProgram

        return ReferenceProgram(graph, trace, room)
    return Program(graph, trace, code, offsets, room)


def _met(given: list[Any], outside: frozenset[int]) -> list[tuple[int, int]]:
    """The arguments that are tensors which the function also uses from outside: (position, serial)."""
    if outside.isdisjoint([x.serial for x in given if isinstance(x, Tensor)]):
        return []
    return [(i, x.serial) for i, x in enumerate(given) if isinstance(x, Tensor) and x.serial in outside]


# Arguments and results: nested tuples, lists and dicts ------------------------------------------------------

_BUILT_IN = frozenset((tuple, list, dict))


def _flatten(value: Any, given: list[Tensor | Array], key: list[Any], objects: list[Any]) -> None:
    """Collect tensors, with their gradients, arrays, and objects; what else there is tells programs apart."""
    kind: type = type(value)  # `isinstance` would ask an object for its class, see `is_of`
    if issubclass(kind, Tensor):
        array = value._array
        given.append(value)
        if not value.requires_grad:
            key.append((array.shape, array.dtype, False))
            return
        gradient = value._gradient()
        made = value.op is not None and not value._starts  # gradients flow on from it, outside
        key.append((array.shape, array.dtype, True, *(value._hooks or ()), gradient is None, made))
        if gradient is not None:
            given.append(gradient)
    elif issubclass(kind, np.ndarray):
        given.append(value)
        key.append((value.shape, value.dtype, False))
    elif issubclass(kind, (tuple, list, dict)):
        named = issubclass(kind, dict)
        key.append((kind, *value) if named else (kind, len(value)))
        for item in dict.values(value) if named else value:
            _flatten(item, given, key, objects)
        if kind not in _BUILT_IN and (attributes := entries_of(value)):
            _flatten(attributes, given, key, objects)
    elif _is_itself(value):
        key.append(id(value))  # which is no other's while the programs live; see `_Kept`
        objects.append(value)
    elif kind is float:
        key.append((float, repr(value)))  # 0.0 == -0.0, and nan is no nan
    else:
        try:
            key.append((kind, hash(value), value))  # what differs in its hash is not asked whether it is equal
        except TypeError as error:
            raise DTypeError(
                f"an argument of a compiled function is {error}; pass tensors, numbers or tuples"
            ) from None


def _is_itself(value: Any) -> bool:
    """Whether an object equals only itself (no ``__eq__`` of its own) and has a ``__dict__`` to keep programs."""
    equals: Any = type(value).__hash__
    return equals is object.__hash__ and entries_of(value) is not None


def _stand_in(value: Any, tracer: Tracer, name: str) -> Any:
    if is_of(value, Tensor):
        return tracer.given(value, name)
    if is_of(value, np.ndarray):
        return tracer.argument(as_array(value, None), name)
    if is_of(value, dict):
        parts: Any = {key: _stand_in(item, tracer, str(key)) for key, item in dict.items(value)}
    elif is_of(value, (tuple, list)):
        parts = [_stand_in(item, tracer, name) for item in value]
    else:
        return value
    attributes = {} if type(value) in _BUILT_IN else entries_of(value)
    return of_parts(value, parts, _stand_in(attributes, tracer, name) if attributes else {})
