"""How the site reads our code: an example at a prompt is a block of code, a function made from a method a function."""

from __future__ import annotations

import re
from typing import Any

import griffe

#: lines from a prompt to the next empty line
EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)
#: ``exp = _function(Tensor.exp)``
MADE = re.compile(r"_function\(Tensor\.(\w+)\)")


class ReadOurCode(griffe.Extension):
    """Fences examples, which Markdown takes for quotations; shows ``exp = _function(Tensor.exp)`` as ``exp(x)``."""

    def on_object(self, *, obj: griffe.Object, **_rest: Any) -> None:
        # a function made from a method has the method's docstring: it comes by twice
        if obj.docstring is not None and "```pycon" not in obj.docstring.value:
            obj.docstring.value = EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_rest: Any) -> None:
        if pkg.name != "tinygrad_rnn":
            return
        classes = "operators.Operators", "composed_methods.Composed", "pytorch_methods.PyTorchMethods", "tensors.Tensor"
        methods = {name: method for each in classes for name, method in pkg[each].members.items()}
        functional = pkg["functional"]
        for name, attribute in list(functional.members.items()):
            made = None if attribute.is_alias else MADE.fullmatch(str(getattr(attribute, "value", "")))
            if made is None:
                continue
            method = methods[made[1]]
            x = griffe.Parameter("x", kind=griffe.ParameterKind.positional_only)
            function = griffe.Function(
                name, parameters=griffe.Parameters(x, *list(method.parameters)[1:]), parent=functional
            )
            function.returns, function.docstring, function.lineno = method.returns, method.docstring, attribute.lineno
            functional.set_member(name, function)
