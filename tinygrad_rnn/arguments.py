"""Bad arguments: whatever a public function cannot work with is an `ArgumentError` that says which call it was."""

from __future__ import annotations

import operator
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import wraps
from inspect import CO_VARARGS, CO_VARKEYWORDS, Parameter, Signature, signature
from types import FrameType, FunctionType, MappingProxyType
from typing import Any, Literal, ParamSpec, TypeVar, get_args, get_origin

import numpy as np

from .errors import ArgumentError, DTypeError, KeywordError, TinygradError
from .recorded_value import Recorded
from .source_line import installed, is_ours

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Class = TypeVar("Class")
Check = Callable[[Any, str], Any]

_PAIRS = (("axis", "dim"), ("keepdims", "keepdim"), ("start_axis", "start_dim"), ("end_axis", "end_dim"))
#: the methods that make an object: of a named tuple ``__new__``
_MADE_BY = ("__init__", "__new__")
_WORDS = {word for pair in _PAIRS for word in pair}
_RAW = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError)


def positional(function: Any) -> list[str]:
    """The names of what a function, or a module's ``forward``, takes by position; none where Python cannot tell."""
    try:
        parameters = signature(getattr(function, "forward", function)).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def misfit(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Python's word on a call of a function, or a module's ``forward``, that does not fit it; "" where it does."""
    try:
        signature(getattr(function, "forward", function)).bind(*args, **kwargs)
    except TypeError as error:
        return str(error)
    except ValueError:  # a built-in function that does not tell
        pass
    return ""


def refuse_call(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], name: str) -> None:
    """Raise a `KeywordError` if these arguments do not fit ``function``, which is called ``name``."""
    if said := misfit(function, args, kwargs):
        raise _misfit(f"(): {said}", kwargs, function, name)


def names_at(function: Callable[..., Any], positions: Sequence[int], bound: int) -> list[str]:
    """A function's names of the arguments at these positions after the first ``bound``; "" for one of ``*args``."""
    names = positional(function)[bound:]
    return [names[k] if k < len(names) else "" for k in positions]


def answerable(function: Callable[Arguments, Result], name: str = "") -> Callable[Arguments, Result]:
    """``function``, whose failures on arguments it was not written for are an `ArgumentError` each.

    A call that does not fit the signature is a `KeywordError`; what the user's own functions raise stays.
    Only the call that the user made answers: what fails in a call of ours within it keeps its kind on the way out.
    """
    name = name or re.sub(r"\.__\w+__$", "", function.__qualname__)
    parameters = signature(function).parameters
    synonyms = _synonyms([*parameters])
    names = getattr(function, "__globals__", {})
    switches = _annotated(parameters.values(), {"bool": switch}, names)
    others = _annotated(parameters.values(), _KINDS, names)

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if kwargs and synonyms:
            _refuse_both(args, kwargs, synonyms, name)
        if switches and len(args) <= len(parameters):  # of a call that fits
            _check(switches, args, kwargs, name)
        try:
            result = function(*args, **kwargs)
        except TinygradError:
            raise
        except _RAW as error:
            refuse_misfit(error, kwargs, function, name)
            if _is_within_another(sys._getframe()) or not _is_ours(error):
                raise
            given = ", ".join([*map(_shown, args), *(f"{key}={_shown(value)}" for key, value in kwargs.items())])
            words = " ".join(str(error).split())[:200] or type(error).__name__
            raise ArgumentError(f"{name}: cannot work with these arguments: {words} [given {given:.200}]") from error
        if others:  # last: where the function itself refuses a value, its message says more
            _check(others, args, kwargs, name)
        return result

    return call


def answering_methods(name: str) -> Callable[[type[Class]], type[Class]]:
    """A decorator of a class, called ``name`` in messages: its public methods become `answerable`."""

    def answering(kind: type[Class]) -> type[Class]:
        done: dict[Any, Any] = {}  # a method under two names stays one
        for key, method in list(vars(kind).items()):
            plain = method.__func__ if isinstance(method, (classmethod, staticmethod)) else method
            # a module's ``forward`` is looked after where the module is called
            if (key.startswith("_") and key not in _MADE_BY) or key == "forward" or not _is_plain(plain):
                continue
            code = plain.__code__
            others = code.co_argcount + code.co_kwonlyargcount > 1 or code.co_flags & (CO_VARARGS | CO_VARKEYWORDS)
            wrapper = answerable if others else _without_arguments
            made = done.setdefault(plain, wrapper(plain, name if key in _MADE_BY else f"{name}.{key}"))
            setattr(kind, key, made if plain is method else type(method)(made))
        if kind.__init__ is object.__init__ and kind.__new__ is object.__new__:
            kind.__init__ = _nothing_to_set(kind)  # type: ignore[method-assign]
        return kind

    return answering


def answering(names: dict[str, Any], others: str = "") -> None:
    """Make what a module has for users `answerable`, and all that ``dir`` shows of it: its last line.

    ``names`` are its ``globals()``. If it has no ``__all__``, that will be the functions and classes that it defines,
    and ``others`` that it has from elsewhere. Of what it imports only the classes in its ``__all__`` are looked at.
    """
    done: dict[Any, Any] = {}  # a function under two names stays one
    module = names["__name__"]
    public = {name: thing for name, thing in names.items() if not name.startswith("_")}
    own = [name for name, thing in public.items() if callable(thing) and getattr(thing, "__module__", "") == module]
    listed = names.setdefault("__all__", sorted([*own, *others.split()]))
    names["__dir__"] = lambda: listed
    for name, thing in public.items():
        if isinstance(thing, type):
            if name in own or (name in listed and _is_silent(thing)):
                answering_methods(name)(thing)
        elif _is_plain(thing) and thing.__code__.co_filename == names["__file__"]:
            names[name] = done.setdefault(thing, answerable(thing, name))


def _is_plain(function: Any) -> bool:
    """Whether it is a function that is not `answerable` yet."""
    return isinstance(function, FunctionType) and not hasattr(function, "__wrapped__")


def _is_silent(kind: type) -> bool:
    """Whether a class of this package, which is no error, does not answer yet."""
    ours = kind.__module__.startswith(("tinygrad_rnn.", "viz.")) and not issubclass(kind, BaseException)
    return ours and not hasattr(vars(kind).get("__init__"), "__wrapped__")


def _without_arguments(method: Callable[..., Result], name: str) -> Callable[..., Result]:
    """``method``, which takes nothing; it is called often, so this does as little as it can."""

    @wraps(method)
    def call(*given: Any, **kwargs: Any) -> Result:
        if len(given) != 1 or kwargs:
            said = f"takes no arguments, but {len(given) - 1} were given" if given else "is called on an object"
            raise _misfit(f"() {said}", kwargs, method, name) from None
        return method(given[0])

    return call


def _nothing_to_set(kind: Any) -> Callable[..., None]:
    """The ``__init__`` of a class that has none: what is given is for the next class, else a `KeywordError`."""

    def __init__(self: Any, *given: Any, **kwargs: Any) -> None:
        following: Any = super(kind, self).__init__
        if (given or kwargs) and getattr(following, "__objclass__", None) is object:
            raise _misfit(f"() takes no arguments, but {len(given)} were given", kwargs, kind, type(self).__name__)
        following(*given, **kwargs)

    __init__.__signature__ = Signature([Parameter("self", Parameter.POSITIONAL_ONLY)])  # type: ignore[attr-defined]
    return __init__


def _annotated(
    parameters: Iterable[Parameter], checks: Mapping[str, Check], names: Mapping[str, Any]
) -> list[tuple[int, str, Check]]:
    """(position, name, check) of the parameters annotated with a kind in ``checks``, or as that or None.

    ``names`` are the function's globals, where an annotation may be the name of a ``Literal``, a choice of texts.
    Of an argument with two names either may be None, which says nothing.
    Those that are given by name only have a position that no call reaches.
    """
    found = []
    for position, p in enumerate(parameters):
        words = str(getattr(p.annotation, "__forward_arg__", p.annotation))
        kind, _, optional = re.sub(r"^(Callable|list|dict)\[.*\](?= \| None$|$)", r"\1", words).partition(" | ")
        if get_origin(names.get(kind)) is Literal and "str" in checks:
            found.append((position if p.kind is p.POSITIONAL_OR_KEYWORD else sys.maxsize, p.name, _one_of(names[kind])))
        if kind in checks and optional in ("", "None"):
            check = _or_none(checks[kind]) if optional or p.name in _WORDS else checks[kind]
            found.append((position if p.kind is p.POSITIONAL_OR_KEYWORD else sys.maxsize, p.name, check))
    return found


def _an(kind: type, words: str) -> Check:
    """The check of a parameter that wants an instance."""

    def check(value: Any, what: str) -> Any:
        if not isinstance(value, kind):
            raise ArgumentError(f"{what} is {words}, not {_shown(value)}")
        return value

    return check


def _one_of(choice: Any) -> Check:
    """The check of a parameter that is one of a ``Literal``'s texts."""
    *others, last = map(repr, get_args(choice))

    def check(value: Any, what: str) -> Any:
        if not isinstance(value, str) or value not in get_args(choice):
            raise ArgumentError(f"{what} is {', '.join(others)} or {last}, not {_shown(value)}")
        return value

    return check


def _or_none(check: Check) -> Check:
    return lambda value, what: None if value is None else check(value, what)


def _check(annotated: list[tuple[int, str, Check]], args: Sequence[Any], kwargs: Mapping[str, Any], name: str) -> None:
    for position, key, check in annotated:
        if position < len(args):
            check(args[position], f"{name}: {key}")
        elif key in kwargs:
            check(kwargs[key], f"{name}: {key}")


def _synonyms(names: list[str]) -> list[tuple[str, str, int]]:
    """Arguments under NumPy's and PyTorch's word: the one given by name only, the other, and its position."""
    both = [sorted(pair, key=names.index) for pair in _PAIRS if {*pair} <= {*names}]
    return [(b, a, names.index(a)) for a, b in both]


def _refuse_both(
    given: Sequence[Any], kwargs: Mapping[str, Any], synonyms: list[tuple[str, str, int]], name: str
) -> None:
    """One thing said in both words is an error, also where they agree; None says nothing."""
    for word, other, position in synonyms:
        first = given[position] if position < len(given) else kwargs.get(other)
        if first is not None and kwargs.get(word) is not None:
            raise ArgumentError(f"{name}: {other} and {word} are one argument in two words; give one of them")


def refuse_misfit(error: Exception, given: Mapping[str, Any], function: Callable[..., Any], name: str) -> None:
    """Raise a `KeywordError` if ``error`` says that the caller's own call does not fit ``function``."""
    trace = error.__traceback__
    if isinstance(error, TypeError) and trace is not None and trace.tb_next is None:
        raise _misfit(str(error), given, function, name) from None


def _misfit(said: str, given: Mapping[str, Any], function: Callable[..., Any], name: str) -> KeywordError:
    """The first keyword that ``function`` does not have, and the nearest that it has; or else what Python ``said``."""
    parameters = list(signature(function).parameters.values())
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name != "self"]
    any_other = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for keyword in () if any_other else given:
        if keyword not in known:
            near = get_close_matches(keyword, known, 1)
            cure = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known) or 'none'}"
            return KeywordError(f"{name} has no argument {keyword!r}; {cure}")
    return KeywordError(f"{name}(){said.partition('()')[2]}")


def _is_within_another(call: FrameType) -> bool:
    """Whether a public function of ours called this one, with no frame of the user's between them."""
    frame = call.f_back
    while frame is not None and is_ours(frame.f_code.co_filename):
        if frame.f_code is call.f_code:
            return True
        frame = frame.f_back
    return False


def _is_ours(error: BaseException) -> bool:
    """Whether it was raised in our own code, or in a library that this called; not where the call itself fails."""
    trace = error.__traceback__
    place = trace = None if trace is None else trace.tb_next
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if is_ours(filename) or not (
            filename.startswith("<") or filename.endswith((".pyx", ".pxd")) or installed(filename)
        ):
            place = trace
        trace = trace.tb_next
    return place is not None and is_ours(place.tb_frame.f_code.co_filename)


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        return f"{type(value).__name__} {shape}"
    plain = isinstance(value, (str, bytes, int, float, complex, list, tuple, dict, type(None)))
    return repr(value)[:40] if plain else type(value).__name__


def number(value: Any, what: str) -> float:
    """``value`` as a float; a text is none."""
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value)
    raise ArgumentError(f"{what} is a number, not {_shown(value)}")


def text(value: Any, what: str) -> str:
    """``value``, if it is a text."""
    if not isinstance(value, str):
        raise ArgumentError(f"{what} is a text, not {_shown(value)}")
    return value


def texts_and_functions(of: Any, texts: str, needed: str, optional: str) -> None:
    """Refuse an attribute, of these names, that is no text, or no function; ``optional`` functions may be None."""
    for name in texts.split():
        text(getattr(of, name), f"{type(of).__name__}: {name}")
    for name in (*needed.split(), *(name for name in optional.split() if getattr(of, name) is not None)):
        if not callable(value := getattr(of, name)):
            raise ArgumentError(f"{of.name}: {name} is a function, not {_shown(value)}")


def integer(value: Any, what: str) -> int:
    """``value``, Python's or NumPy's, as a Python int; a float is not cut off."""
    try:
        return operator.index(value)
    except TypeError:
        raise DTypeError(f"{what} must be an integer, not {value!r:.40}") from None


def probability(value: Any, what: str) -> float:
    """``value``, if it is a probability."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)) or not 0 <= value <= 1:
        raise ArgumentError(f"{what} is a probability, from 0 to 1, not {_shown(value)}")
    return float(value)


def switch(value: Any, what: str) -> bool:
    """``value``, if it is True or False; a text or a list is neither."""
    if not isinstance(value, (bool, np.bool_, int)) or value not in (0, 1):
        raise ArgumentError(f"{what} is True or False, not {_shown(value)}")
    return bool(value)


def as_dtype(value: Any, what: str, *, floats: bool = False) -> np.dtype[Any]:
    """``value`` as a dtype that a tensor may have; with ``floats`` one of its two floats."""
    try:
        found = np.dtype(value)
    except (TypeError, ValueError):
        raise DTypeError(f"{what}: {_shown(value)} is no dtype; use tg.float32, tg.float64 or one of NumPy's") from None
    if found.char not in "fd" and (floats or found.kind not in "iub"):
        held = "float32 or float64" if floats else "a tensor holds float32, float64, integers or booleans"
        raise DTypeError(f"{what}: {held}, not {found}")
    return found


def _one_number(value: Any, what: str) -> Any:
    """``value``, if it is a number, or a tensor or an array of one."""
    return value if getattr(value, "shape", None) == () and value.dtype.kind in "biuf" else number(value, what)


def _texts(value: Any, what: str) -> Any:
    """``value``, if it is a tuple of texts."""
    if not isinstance(value, tuple) or not all(isinstance(each, str) for each in value):
        raise ArgumentError(f"{what} is a tuple of texts, not {_shown(value)}")
    return value


#: what parameters are checked for, by their annotation
_KINDS: dict[str, Check] = {
    "str": text,
    "int": integer,
    "float": _one_number,
    "tuple[str, ...]": _texts,
    "list": _an(list, "a list"),
    "dict": _an(dict, "a dict"),
    "Callable": _an(Callable, "a function"),  # type: ignore[arg-type]
    "Tensor": _an(Recorded, "a tensor"),
}
