"""Edits by which a variable holds another value while a step is walked back, in all rules that use it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from .edit_context import Scene, in_brackets
from .edited_rules import Valued
from .edited_walks import Edit, Rule, Use
from .edits_of_saved_values import MATRICES, NUMBERS, affected
from .remade_values import remade
from .stand_ins import Variant

#: all rules are changed alike, so that also less likely values are tried than `LIKELY` ones
ANYWHERE = 0.46
#: so many operations before a value that is made again, an operand may be another one
DEPTH = 3


def of_stale_values(scene: Scene) -> Iterator[Edit]:
    """Edits in which a variable holds another value while a step is walked back: all rules that use it use that one."""
    together: dict[tuple[str, str], list[tuple[str, dict[Use, Valued]]]] = defaultdict(list)
    for line in _lines(scene):
        nodes = [scene.record.nodes[index] for index in line]
        name = scene.named(nodes[-1])
        saved: list[Variant] = [(f"uses {words}", v, c) for words, v, c in scene.stand_ins.of(line, nodes)]
        if scene.is_mask(nodes[-1]):
            saved.append((f"takes {name} to be 1: the mask is ignored", [np.ones(n.shape) for n in nodes], -0.01))
        anew = remade(scene, nodes, DEPTH, ANYWHERE, ANYWHERE - 0.1) if len(set(line)) == len(line) else ()
        computed = [(text.format(in_brackets(name)), values, 0.1 + cost) for text, values, cost in anew]
        known = list[tuple[dict[Use, int], dict[Use, int]]]()
        for again, variants in ((NUMBERS, saved + computed), (MATRICES, computed)):
            made_of = [affected(scene, [index], again=again) for index in line]
            own, later = dict[Use, int](), dict[Use, int]()
            for t, (node, (_, uses)) in enumerate(zip(nodes, made_of, strict=True)):
                for use in uses:
                    same = node.op is None or scene.record.nodes[use[0]].scope.step == node.scope.step
                    (own if same else later)[use] = t
            if (own, later) in known:
                continue
            known.append((own, later))
            too = ", also in what is computed from it once more" if again else ""
            for where, places in (("of its own step", own), ("of the step after", later)):
                several = len({(scene.place[index][0], slot) for index, slot in places}) > 1
                for words, values, cost in variants:
                    if places and cost <= ANYWHERE:
                        changed = zip(line, values, made_of, strict=True)
                        each = [Valued({index: value}, more) for index, value, (more, _) in changed]
                        rules = {use: each[t] for use, t in places.items()}
                        which = words.removeprefix(f"uses {name} ")
                        if which != words and cost <= 0.1 and where == "of its own step" and not again:
                            for group in dict.fromkeys((".".join(nodes[-1].scope.path), "")):
                                together[which, group].append((name, rules))
                        if several:
                            text = f"At every step, every rule {where} that needs {name} {words}{too}."
                            yield Edit(text, dict[Use, Rule](rules), cost=1.1 + cost + 0.05 * bool(again))
    for (which, _), found in together.items():
        gates = [each for each in found if each[0] in {scene.named(f[-1]) for f in scene.gates if f[-1].role}]
        for some in (found, gates):
            if len(some) > 1:
                joined: dict[Use, list[Valued]] = defaultdict(list)
                for use, rule in (item for _, rules in some for item in rules.items()):
                    joined[use].append(rule)
                every: dict[Use, Rule] = {use: _with_all(rules) for use, rules in joined.items()}
                names = ", ".join(dict.fromkeys(name for name, _ in some))
                yield Edit(f"At every step, every rule of their own step uses {names} {which}.", every, cost=1.2)


def _with_all(rules: list[Valued]) -> Valued:
    """One rule with all the values that these replace."""
    changed = {index: value for rule in rules for index, value in rule.changed.items()}
    return Valued(changed, sorted({index for rule in rules for index in rule.remade} - changed.keys()))


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
