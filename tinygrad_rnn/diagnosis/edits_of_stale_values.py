"""Edits by which a variable holds another value while a step is walked back, in all rules that use it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from ..graph import Node, Ref
from ..tensors import Array
from .edit_context import Scene, in_brackets
from .edited_rules import Late, Valued, made
from .edited_walks import Edit, Rule, Use
from .remade_values import remade
from .stand_ins import LIKELY, Variant


def of_stale_values(scene: Scene) -> Iterator[Edit]:
    """Edits in which a variable holds another value while a step is walked back: all rules that use it use that one."""
    together: dict[tuple[str, str], list[tuple[str, dict[Use, Rule]]]] = defaultdict(list)
    for line in _lines(scene):
        nodes = [scene.record.nodes[index] for index in line]
        own, later = _rules_with(scene, line)
        name = scene.named(nodes[-1])
        variants: list[Variant] = [(f"uses {words}", v, c) for words, v, c in scene.stand_ins.of(line, nodes)]
        variants += [(text.format(in_brackets(name)), v, 0.1 + c) for text, v, c in remade(scene, nodes, depth=1)]
        for where, places in (("of its own step", own), ("of the step after", later)):
            for words, values, cost in variants:
                if places and cost <= LIKELY:
                    rules = _all_with(scene, places, line, values)
                    which = words.removeprefix(f"uses {name} ")
                    if which != words and cost <= 0.1 and where == "of its own step":
                        for group in {".".join(nodes[-1].scope.path), ""}:
                            together[which, group].append((name, rules))
                    if len({(scene.place[node][0], slot) for node, slot in places}) > 1:
                        text = f"At every step, every rule {where} that needs {name} {words}."
                        yield Edit(text, rules, cost=1.1 + cost)
    for (which, _), found in together.items():
        gates = [each for each in found if each[0] in {scene.named(f[-1]) for f in scene.gates if f[-1].role}]
        for some in (found, gates):
            if len(some) > 1:
                rules = {}
                for _, more in some:
                    for use, rule in more.items():
                        assert isinstance(rule, Valued)
                        before = rules.get(use, rule)
                        assert isinstance(before, Valued)
                        rules[use] = Valued({**before.changed, **rule.changed})
                names = ", ".join(dict.fromkeys(name for name, _ in some))
                yield Edit(f"At every step, every rule of their own step uses {names} {which}.", rules, cost=1.2)


def _lines(scene: Scene) -> Iterator[list[int]]:
    """For each value that every step has, computed or constant: its nodes, step by step."""
    seen = set[tuple[int, ...]]()
    for family in scene.all_families:
        if len(family) > 1:
            yield [n.index for n in family]
        for slot in range(len(family[0].operands)):
            line = scene.line(family, slot)
            constant = line and all(scene.record.nodes[i].op is None for i in line)
            if line and constant and len(set(line)) == len(line) > 1 and tuple(line) not in seen:
                seen.add(tuple(line))
                yield line


def _rules_with(scene: Scene, line: list[int]) -> tuple[dict[Use, int], dict[Use, int]]:
    """The uses whose rules need a value of ``line``, with its position there: in the same step, and in later ones."""
    record, own, later = scene.record, dict[Use, int](), dict[Use, int]()
    for t, index in enumerate(line):
        mine = record.nodes[index]
        read = {index, *_made_of(scene, index)}
        for node in (mine, *(record.nodes[user] for k in read for user, _ in record.users[k])):
            for slot in range(len(node.operands)):
                if (node.index, slot) not in record.truth.contributions or node.op is None:
                    continue
                result, needed = node.op.values_needed(slot)
                found = [k for k, x in enumerate(node.operands) if isinstance(x, Ref) and x.index in read]
                if (result and node is mine) or any(needed is None or k in needed for k in found):
                    same = mine.op is None or node.scope.step == mine.scope.step
                    (own if same else later)[node.index, slot] = t
    return own, later


def _made_of(scene: Scene, index: int) -> list[int]:
    """Nodes computed from ``index`` and constants alone, such as 1 - z: a program recomputes them with it."""
    record, found = scene.record, [index]
    for made_of in found:
        for user, _ in record.users[made_of]:
            node = record.nodes[user]
            others = (x for x in node.operands if isinstance(x, Ref) and x.index not in found)
            plain = node.op is not None and (node.op.infix in ("+", "-", "*", "/") or node.op.name in ("neg", "pow"))
            if plain and user not in found and not any(record.nodes[x.index].requires_grad for x in others):
                found.append(user)
    return sorted(found[1:])


def _all_with(scene: Scene, places: dict[Use, int], line: list[int], values: Sequence[Late]) -> dict[Use, Rule]:
    rules = [Valued(_changed(scene, index, value)) for index, value in zip(line, values, strict=True)]
    return {use: rules[t] for use, t in places.items()}


def _changed(scene: Scene, index: int, value: Late) -> dict[int, Late]:
    """The new value of ``index``, and of everything that `_made_of` finds, by node."""
    changed: dict[int, Late] = {index: value}
    for user in _made_of(scene, index):
        node = scene.record.nodes[user]

        def again(node: Node = node) -> Array:
            operands = [
                made(changed[x.index]) if isinstance(x, Ref) and x.index in changed else scene.record.target(node, k)
                for k, x in enumerate(node.operands)
            ]
            assert node.op is not None
            return np.asarray(node.op.forward(*operands, **node.attrs))

        changed[user] = again
    return changed
