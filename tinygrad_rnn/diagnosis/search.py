"""The search for edits that give the given gradients: sketches of all, walks of those that pass, then pairs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ..norms import norm
from ..source_line import warn
from ..tensors import Array
from .attempts import UNFIT
from .edit_context import Scene
from .edited_walks import BESIDE, Edit, Record
from .edits import candidates
from .factors_by_step import of_carries, of_each_step, of_hidden_targets, of_left_out, rescaled
from .precision import FEWEST_DIGITS, at_least, precisions

Progress = Callable[[int, int], None]
#: how far an edit may be off, of the given gradient, however it explodes
FAR = 1e-4
#: a sketch is at most so many numbers: one a leaf, or one a gate's block of it; of more leaves, those with the largest
#: gradients are sketched one by one
SKETCHED = 24
#: how far a sketch may be off what it should be, beyond what the digits allow: the walk decides
SLACK = 1e-10
#: relative to all that is added up: walking differences loses less than this to cancellation, so that an edit which is
#: off by more is not looked at with an exact walk
CANCELLED = 1e-9
#: edits that are walked at once
TOGETHER = 256
#: edits of which a factor is read off the numbers, at most, those first that fit best: where a gradient explodes,
#: whatever is done to it is nearly a multiple of the same
MULTIPLES = 100
#: pairs that are walked to the end, at most
PAIRS = 400
#: relative, squared: how far what one edit leaves may be from a multiple of another, for both to be looked at
ALIKE = 1e-10
#: first edits of a pair that explain a part of the numbers, and pairs of likely edits: so many are tried
PARTLY, LIKELY = 120, 30_000
#: seconds; what a search that takes longer will cost is said
LONG = 5.0
#: with fewer wrong numbers than this, a factor could be read off anything
FEWEST = 3
#: how much less likely an edit is that also changes leaves of which nothing is given
BEYOND = 0.15
#: an edit as large as the wrong leaves need would change a right leaf by at least this part of it; less is chance
UNLIKELY = 1e-3


@dataclass(eq=False)
class Tried:
    """A candidate edit and its effect: the sketch, and the differences by leaf if it was walked."""

    edit: Edit
    sketch: Array
    walked: dict[int, Array] | None = None


class Search:
    """The search in one record for edits that explain the given gradients, by leaf, in double precision."""

    def __init__(self, record: Record, given: Mapping[int, Array], progress: Progress | None) -> None:
        self.record, self.given, self.progress = record, given, progress
        self.precisions = precisions(given, {leaf: record.gradient(leaf) for leaf in given})
        self.limits, self.limits_of_edits = self._limits()
        self.wanted = {leaf: np.asarray(g, np.float64) - record.gradient(leaf) for leaf, g in given.items()}
        self.tried: list[Tried] = []
        self.later: list[Edit] = []  #: those that can only explain the numbers beside another
        self.count = 0  #: all that were made
        self.scaled_pairs = 0  #: pairs of which one was given another factor
        self.pairs_tried = ""  #: which pairs were tried, in words
        self.scene = Scene(record, given, self.agreement({}) < 1e-5)

    def _limits(self) -> tuple[dict[int, float], dict[int, float]]:
        """For each leaf, the norm of the difference that is allowed to the true gradient, and to that of an edit."""
        limits, of_edits = {}, {}
        for leaf, given in self.given.items():
            precision, scale = self.precisions[leaf], self.record.scale(leaf) + norm(given)
            dtype = np.float32 if precision.single else np.float64
            noise = self.record.noise(leaf, dtype)
            limits[leaf] = precision.allowed(noise, scale)
            larger = max(1.0, norm(given) / (norm(self.record.gradient(leaf)) or np.inf))  # what explodes, rounds so
            # beside a true gradient that is 0 up to rounding, that would be anything
            enlarged = min(precision.allowed(larger * noise, scale), FAR * norm(given))
            of_edits[leaf] = max(limits[leaf], enlarged)
        return limits, of_edits

    def few_digits(self, wrong: Sequence[int]) -> str:
        """The number of digits of the ``wrong`` leaves, in words, if too few to tell mistakes apart, else ""."""
        digits = max((self.precisions[leaf].digits for leaf in wrong), default=np.inf)
        return f"{digits:.0f} digit{'s' if digits > 1 else ''}" if digits < FEWEST_DIGITS else ""

    def as_round_numbers(self) -> None:
        """Take numbers with few digits as round numbers from now on, not as rounded ones."""
        self.precisions = {leaf: at_least(self.given[leaf], p) for leaf, p in self.precisions.items()}
        self.limits, self.limits_of_edits = self._limits()

    def right(self, differences: Mapping[int, Array]) -> dict[int, bool]:
        """For each leaf: whether an edit with these differences gives the given gradient."""
        return {
            leaf: norm(wanted - differences.get(leaf, 0.0))
            <= (self.limits_of_edits if leaf in differences else self.limits)[leaf]
            for leaf, wanted in self.wanted.items()
        }

    def agreement(self, differences: Mapping[int, Array]) -> float:
        """The largest remaining difference over the leaves, relative to the norm of the given gradient."""
        worst = 0.0
        for leaf, wanted in self.wanted.items():
            rest = norm(wanted - differences.get(leaf, 0.0))
            worst = max(worst, rest / (norm(self.given[leaf]) or self.record.scale(leaf) or 1))
        return worst

    # Sketches --------------------------------------------------------------------------------------------

    def prepare(self) -> bool:
        """Choose the directions of the sketches, and compute the derivative of every node along them."""
        record, rng = self.record, np.random.default_rng(0)
        ranked = sorted(self.given, key=lambda leaf: -norm(record.gradient(leaf)))
        spare = SKETCHED - len(ranked)
        rows: list[tuple[int, Array]] = []
        for leaf in ranked:
            shape = self.given[leaf].shape
            axis, count = next(
                ((k, self.scene.pieces[n]) for k, n in enumerate(shape) if n in self.scene.pieces), (0, 1)
            )
            count = count if count - 1 <= spare else 1
            spare -= count - 1
            for block in np.array_split(np.arange(shape[axis]), count) if shape else [np.arange(1)]:
                mask = np.zeros(shape)
                mask[(slice(None),) * axis + (block,) if shape else ...] = 1.0
                rows.append((leaf, mask))
        self.rows = min(len(rows), SKETCHED)
        directions = {leaf: np.zeros((int(np.prod(g.shape)), self.rows)) for leaf, g in self.given.items()}
        for k, (leaf, mask) in enumerate(rows):
            directions[leaf][:, min(k, SKETCHED - 1)] += np.ravel(mask * rng.standard_normal(mask.shape))
        record.directions = directions
        self.target = self.sketched(self.wanted)
        self.slack = np.zeros(self.rows)
        for leaf, direction in directions.items():
            size = record.scale(leaf) + norm(self.wanted[leaf])
            self.slack += np.linalg.norm(direction, axis=0) * (
                self.limits_of_edits[leaf] + (SLACK / 100 if self.scene.nearly else SLACK) * size
            )
        # of a leaf whose gradients are all 0, too: what is sent there is compared with the others' room
        self.unit = np.where(self.slack > 0, self.slack, np.min(self.slack, initial=1.0, where=self.slack > 0))
        shaped = {leaf: self.given[leaf].shape for leaf in directions}
        moved = [
            record.tangents({leaf: d[:, k].reshape(shaped[leaf]) for leaf, d in directions.items() if d[:, k].any()})
            for k in range(self.rows)
        ]
        self.tangents = [np.stack([np.ravel(m[n.index]) for m in moved], 1) for n in record.nodes]
        self.functionals = record.functionals(self.tangents)
        self.wrong = np.abs(self.target) > self.slack
        right = [leaf for leaf, fine in self.right({}).items() if fine]
        groups = [np.any(directions[leaf] != 0, 0) for leaf in right]
        self.right_rows = [rows for rows in groups if not np.any(rows & self.wrong)]
        self._reaches: dict[tuple[int, ...], tuple[bool, bool]] = {}
        return True

    def _reach(self, edit: Edit) -> tuple[bool, bool]:
        """Whether an edit at its place can explain all the wrong numbers, and whether it can as one of a pair.

        It cannot if nothing sent from there arrives at a wrong leaf, or if it would change a leaf that is right.
        """
        moved_on = [(self.record.target_of(use), to) for use, to in edit.sent.items() if to is not None]
        if any(self.record.nodes[one].shape != self.record.nodes[to].shape for one, to in moved_on):
            return False, False
        if edit.leaves or edit.sent or edit.values or self.scene.nearly:
            return True, True
        places = {self.record.target_of(use) for use in (*edit.uses, *edit.parts)} | edit.seeds.keys()
        key = tuple(sorted(index for index in places if len(self.tangents[index])))
        if key not in self._reaches:
            moved = [np.abs(self.tangents[index]) for index in key]
            most = np.max([m.max(0) for m in moved] or [np.zeros(self.rows)], 0)[self.wrong]
            if not most.any():
                self._reaches[key] = False, False
                return False, False
            spread = len(key) * np.sqrt(max(len(m) for m in moved))
            needed = np.abs(self.target[self.wrong])[most > 0] / most[most > 0] / spread * UNLIKELY
            seen = 0.0  #: in the right leaf that shows it best, at the place where that is least
            if self.right_rows:
                least = [[m[:, rows].max(1).min() / self.slack[rows].max() for rows in self.right_rows] for m in moved]
                seen = float(np.min(np.max(least, 1)))
            beside = bool(seen * needed.min() <= 1)
            self._reaches[key] = beside and bool(most.all() and seen * needed.max() <= 1), beside
        return self._reaches[key]

    def sketched(self, differences: Mapping[int, Array]) -> Array:
        """The sketch of differences by leaf, shape (rows,)."""
        result = np.zeros(self.rows)
        for leaf, change in differences.items():
            if leaf in self.given:
                result += self.record.sketched(leaf, change)
        return result

    def look(self, edits: Sequence[Edit]) -> Iterator[Tried]:
        """Each edit with its sketch: by products with the tangents if it changes one use, else by a walk."""
        many: list[Edit] = []
        for k, edit in enumerate(edits):
            if self.progress is not None and k % 64 == 0:
                self.progress(k, len(edits))
            if edit.only is None and not (edit.sent or edit.leaves):
                many.append(edit)
            elif (tried := self.scene.attempts.value(edit.words, partial(self.look_at, edit), None, UNFIT)) is not None:
                yield tried
        for start in range(0, len(many), TOGETHER):
            begun = time.process_time()
            if self.progress is not None:
                self.progress(len(edits) - len(many) + start, len(edits))
            some = many[start : start + TOGETHER]
            yield from self._sketched(some)
            if start == TOGETHER:  # the first ones also pay what all of them share
                left = len(many) - start - len(some)
                _foretell(f"{len(edits):,} edits", (time.process_time() - begun) / len(some) * left)

    def look_at(self, edit: Edit) -> Tried:
        """One edit with its sketch, walked by itself."""
        record, only = self.record, edit.only
        if only is None:
            walked = record.differences(edit)
            return Tried(edit, self.sketched(walked), walked)
        sent = record.ruled(edit.uses[only], record.nodes[only[0]], only[1], record.truth.gradients[only[0]])
        change = np.ravel(sent - record.truth.contributions[only])
        return Tried(edit, change @ self.tangents[record.target_of(only)])

    def _sketched(self, edits: list[Edit]) -> Iterator[Tried]:
        """Walk edits together; if a rule fits no array, halve them until the one at fault is left out."""
        walk = partial(self.record.sketches, edits, self.functionals, self.rows)
        if len(edits) == 1:
            yield from map(
                Tried, edits, self.scene.attempts.value(edits[0].words, walk, np.zeros((0, self.rows)), UNFIT)
            )
            return
        try:
            yield from map(Tried, edits, walk())
        except Exception:
            half = len(edits) // 2
            yield from self._sketched(edits[:half])
            yield from self._sketched(edits[half:])

    # Where ---------------------------------------------------------------------------------------------

    def right_steps(self, wrong: Sequence[int]) -> list[str]:
        """For sequences with a wrong gradient: a phrase with the time steps that are right."""
        found = []
        for leaf in wrong:
            steps = self._wrong_steps(leaf)
            if steps is not None and not all(steps):
                listed = ", ".join(str(t + 1) for t, off in enumerate(steps) if not off)
                found.append(f"{self.scene.called(self.record.nodes[leaf])} at steps {listed}")
        return found

    def _wrong_steps(self, leaf: int) -> list[bool] | None:
        """For each time step of a sequence cut along its first axis, whether it is wrong; None for other leaves."""
        users = [self.record.nodes[user] for user, _ in self.record.users[leaf]]
        shape = self.record.nodes[leaf].shape
        if len(users) < 2 or not shape or shape[0] != len(users):
            return None
        if not all(n.op is not None and n.op.name == "getitem" and n.shape == shape[1:] for n in users):
            return None
        return [bool(norm(row) > self.limits[leaf]) for row in self.wanted[leaf]]

    def place(self, wrong: Sequence[int]) -> str:
        """A sentence that says where along the walk the first wrong leaf is used."""
        last = {leaf: max((user for user, _ in self.record.users[leaf]), default=-1) for leaf in self.given}
        order = sorted(self.given, key=lambda leaf: -last[leaf])
        first = next((leaf for leaf in order if leaf in wrong), None)
        if first is None or last[first] < 0:
            return ""
        before = [self.scene.called(self.record.nodes[leaf]) for leaf in order[: order.index(first)]]
        still = f"{', '.join(before)} still right; " if before else ""
        node = self.record.nodes[last[first]]
        name, site = self.scene.called(self.record.nodes[first]), f" (at {node.site})" if node.site else ""
        return (
            f"Coming from the loss: {still}the first that is wrong is {name}, used by {self.scene.called(node)}{site}."
        )

    def different_numbers(self) -> int:
        """The count of different numbers in the differences between given and true gradients."""
        off = [np.abs(w).ravel() / norm(w) for leaf, w in self.wanted.items() if norm(w) > self.limits[leaf]]
        return int(np.sum(np.unique(np.round(np.concatenate(off), 9)) > 0)) if off else 0

    def too_little_for_pairs(self) -> str:
        """The reason why two edits could fit by chance, if too few different numbers are wrong, else ""."""
        count = self.different_numbers()
        told = "only one number is wrong" if count == 1 else f"only {count} different numbers are wrong"
        return f"{told}, and two edits could give so few by chance; give more" if count < FEWEST else ""

    # One edit --------------------------------------------------------------------------------------------

    def singles(self) -> list[Tried]:
        """Single edits that give all the numbers, each verified by its walk."""
        found: list[Tried] = []
        multiples: list[tuple[float, Tried]] = []
        trust = self.different_numbers() >= FEWEST
        first: list[Edit] = []
        for edit in candidates(self.scene):
            alone, beside = self._reach(edit)
            self.count += 1
            if alone or (beside and edit.scaling is not None):
                first.append(edit)
            elif beside:
                self.later.append(edit)
        for tried in self.look(first):
            if not np.all(np.isfinite(tried.sketch)) or not np.any(tried.sketch):
                continue  # it changes nothing that was given
            self.tried.append(tried)
            if np.all(np.abs(tried.sketch - self.target) <= self.slack):
                found += self.verified(tried.edit)
            elif tried.edit.scaling is not None and (off := self.off_a_multiple(tried)) <= 1:
                multiples.append((off, tried))
        for _, tried in sorted(multiples, key=lambda each: each[0])[:MULTIPLES]:
            found += self.scene.attempts.value(tried.edit.words, partial(self.measured, tried, trust), [], UNFIT)
        for tried, factor in self.scene.attempts.items(of_carries(self)) if not found and trust else ():
            found += next(filter(None, map(self.verified, self._with_factors(tried, factor))), [])
        if not found and trust:
            for solved in (of_hidden_targets, of_left_out, of_each_step):
                for edit in self.scene.attempts.items(solved(self)):
                    found += self.verified(edit)
        return found

    def verified(self, edit: Edit) -> list[Tried]:
        """``[edit]`` with its differences if its walk gives all that was given, else nothing."""
        return self.scene.attempts.value(edit.words, partial(self._verified, edit), [], UNFIT)

    def _verified(self, edit: Edit) -> list[Tried]:
        for walk in (self.record.differences, self.record.exact):
            walked = walk(edit)
            if all(self.right(walked).values()):
                return [Tried(edit, self.sketched(walked), walked)]
            for leaf, wanted in self.wanted.items():
                cancelled = CANCELLED * (self.record.scale(leaf) + norm(wanted))
                if norm(wanted - walked.get(leaf, 0.0)) > self.limits_of_edits[leaf] + cancelled:
                    return []
        return []

    def ranked(self, found: Sequence[Tried]) -> list[Tried]:
        """``found`` without repeated words, most likely first; of two mistakes with the same words, these once."""
        best: dict[str, Tried] = {}
        for tried in sorted(
            found, key=lambda tried: tried.edit.cost + BEYOND * bool((tried.walked or {}).keys() - self.given)
        ):
            sentences = self.scene.told(tried.edit).split(BESIDE)
            tried.edit.words = BESIDE.join(dict.fromkeys(sentences))
            best.setdefault(tried.edit.words, tried)
        return list(best.values())

    def explained(self, tried: Tried) -> Edit:
        """The edit, with its place in the equations."""
        term = self.scene.attempts.value("the equations", lambda: self.scene.names.term(tried.edit), "")
        return replace(tried.edit, term=term)

    def off_a_multiple(self, tried: Tried) -> float:
        """The distance of the numbers from the nearest multiple of the edit's effect, relative to what is allowed."""
        s, unit = tried.sketch, self.unit
        share = float(np.vdot(s / unit, self.target / unit) / np.vdot(s / unit, s / unit))
        room = 4 * (1 + abs(share)) * unit + 1e-3 * np.abs(self.target)
        return float(np.max(np.abs(share * s - self.target) / room)) if share else np.inf

    def measured(self, tried: Tried, trust: bool) -> list[Tried]:
        """The edit with the factor that gives the numbers, if there is one."""
        factor = 1.0
        for _ in range(4):  # exact at once, unless what is sent comes back to where it was sent from
            base = tried.edit if factor == 1.0 else rescaled(tried.edit, factor)
            step = (
                (1e-7 if tried.edit.cost > 1.5 and not tried.edit.leaves else -1.0) if factor == 1.0 else factor - 1.0
            )
            walked = self.record.differences(base)
            rest = {leaf: w - (0.0 if factor == 1.0 else walked.get(leaf, 0.0)) for leaf, w in self.wanted.items()}
            floor = max(self.limits_of_edits.values()) * 1e-9 or 1.0  # a leaf whose gradient is 0 has no room at all
            unit = {leaf: max(self.limits_of_edits[leaf], floor) for leaf in self.wanted}
            above = sum(float(np.vdot(d / unit[i], rest[i] / unit[i])) for i, d in walked.items() if i in rest)
            below = sum(float(np.vdot(d / unit[i], d / unit[i])) for i, d in walked.items() if i in rest)
            if not below or not np.isfinite(above / below):
                return []
            factor += step * above / below
            if abs(step * above / below) < 1e-15:
                break
        for edit in self._with_factors(tried, factor, trust):
            if found := self.verified(edit):
                return found
        return []

    # Two edits -------------------------------------------------------------------------------------------

    def pairs(self) -> list[Tried]:
        """Two edits that together give the numbers, verified by one walk with both."""
        self.tried += [each for each in self.look(self.later) if np.all(np.isfinite(each.sketch)) and each.sketch.any()]
        self.tried = self._distinct()
        self.pairs_tried = "those whose effects add up, also where one has another factor, those of which one explains "
        self.pairs_tried += "a leaf or a gate's block"
        found = self._adding_up() or self._with_a_factor()
        if found:
            return found
        pairs = self._one_explains_a_part() + self._likely()
        if len(pairs) > 4 * TOGETHER:  # they cost more the later they come: some of all are measured
            some, begun = pairs[:: len(pairs) // TOGETHER], time.process_time()
            self._together(some)
            _foretell(f"{len(pairs):,} pairs of edits", (time.process_time() - begun) / len(some) * len(pairs))
        for start in range(0, len(pairs), TOGETHER):
            if self.progress is not None:
                self.progress(start, len(pairs))
            found = self._together(pairs[start : start + TOGETHER])
            if found:
                return found
        return []

    def _distinct(self) -> list[Tried]:
        """The cheapest of all tried edits with the same effect, cheapest first."""
        seen: dict[bytes, Tried] = {}
        for tried in sorted(self.tried, key=lambda t: t.edit.cost):
            with np.errstate(divide="ignore"):
                key = np.round(tried.sketch / np.maximum(self.slack, 1e-300) / 4).tobytes()
            seen.setdefault(key, tried)
        return list(seen.values())

    def _adding_up(self) -> list[Tried]:
        """Verified pairs whose sketches add up to what is wrong."""
        if not self.tried:
            return []
        sketches = np.array([t.sketch for t in self.tried])
        scale = self.unit
        main = int(np.argmax(np.abs(self.target) / scale))
        order = np.argsort(sketches[:, main], kind="stable")
        line = sketches[order, main]
        found: list[Tried] = []
        looked = 0
        for a in range(len(self.tried)):
            rest = self.target - sketches[a]
            low, high = np.searchsorted(line, [rest[main] - 2 * scale[main], rest[main] + 2 * scale[main]])
            near = order[low:high]
            for b in near[np.all(np.abs(sketches[near] - rest) <= 2 * scale, axis=1)]:
                if b <= a or looked >= PAIRS:
                    continue
                looked += 1
                both = self.tried[a].edit.together(self.tried[b].edit)
                if both is not None:
                    found += self.verified(both)
        return found

    def _with_a_factor(self) -> list[Tried]:
        """Verified pairs of which one leaves a multiple of the other's effect, which gets that factor."""
        scaling = [t for t in self.tried if t.edit.scaling is not None]
        if not scaling or self.different_numbers() <= FEWEST:
            return []
        unit = self.unit
        left = (self.target - np.array([t.sketch for t in self.tried])) / unit
        others = np.array([t.sketch for t in scaling]) / unit
        size, length = np.sum(left**2, 1), np.sum(others**2, 1)
        along = left @ others.T
        near = size[:, None] - along**2 / length <= (ALIKE * size)[:, None]
        found: list[Tried] = []
        for a, b in np.argwhere(near)[:PAIRS]:
            if scaling[b] is not self.tried[a]:
                found += self._scaled_beside(self.tried[a], scaling[b], self.tried[a].sketch + scaling[b].sketch)
        return found

    def _with_factors(self, tried: Tried, factor: float, unnamed: bool = True) -> Iterator[Edit]:
        """An edit by which something is missing with ``factor`` instead: as one with a name, and as the number."""
        known = next((k for k in self.scene.factors if abs(factor - k) <= 1e-6 * abs(k)), None)
        for value, words, price in (
            (known, self.scene.factors.get(known or 0.0, ""), 0.3),
            (factor if unnamed else None, self.scene.multiplied(tried.edit, factor), 0.6),
        ):
            if value is not None:
                edit = rescaled(tried.edit, value)
                edit.words, edit.cost = f"{tried.edit.scaling} is {words}.", min(tried.edit.cost, 1.4) + price
                yield edit

    def _one_explains_a_part(self) -> list[tuple[int, int]]:
        """Pairs of positions: an edit that gives some of the wrong leaves, or blocks, and one that changes others."""
        sketches = np.array([t.sketch for t in self.tried]).reshape(len(self.tried), self.rows)
        wrong = np.abs(self.target) > self.slack
        off = np.abs(sketches - self.target) > self.slack
        explained = (wrong & ~off).sum(1)
        spoiled = (~wrong & off).sum(1)
        first = [int(a) for a in np.argsort(spoiled - explained, kind="stable") if explained[a]][:PARTLY]
        still = np.abs(sketches) <= self.slack
        return [(a, int(b)) for a in first for b in np.flatnonzero(np.all(still[:, ~off[a]], axis=1)) if b != a]

    def _likely(self) -> list[tuple[int, int]]:
        """All pairs, by position, of edits that are made at every step."""
        always = ("At every", "Every", "Once")
        often = [
            k for k, tried in enumerate(self.tried) if tried.edit.cost <= 1.1 and tried.edit.words.startswith(always)
        ]
        both = [(a, b) for a in range(len(often)) for b in range(a)]
        both.sort(key=lambda ab: ab[0] + ab[1])
        some = f"{min(len(both), LIKELY):,} of the {len(both):,}"
        self.pairs_tried += f", and {some} pairs of edits that are made at every step"
        return [(often[a], often[b]) for a, b in both[:LIKELY]]

    def _together(self, pairs: Sequence[tuple[int, int]]) -> list[Tried]:
        """Verified pairs, one of the two perhaps with another factor."""
        found: list[Tried] = []
        plain: list[tuple[Edit, int, int]] = []
        for a, b in pairs:
            edit = self.tried[a].edit.together(self.tried[b].edit)
            if edit is not None and (edit.leaves or edit.sent):
                found += self.verified(edit)
            elif edit is not None:
                plain.append((edit, a, b))
        may_scale = self.different_numbers() > FEWEST
        for start in range(0, len(plain), TOGETHER):
            some = plain[start : start + TOGETHER]
            walk = partial(self.record.sketches, [edit for edit, _, _ in some], self.functionals, self.rows)
            sketches = self.scene.attempts.value("some pairs", walk, np.full((len(some), self.rows), np.nan))
            for (edit, a, b), sketch in zip(some, sketches, strict=True):
                if np.all(np.abs(sketch - self.target) <= self.slack):
                    found += self.verified(edit)
                for one, other in ((a, b), (b, a)) if may_scale else ():
                    if self.tried[other].edit.scaling is not None:
                        found += self._scaled_beside(self.tried[one], self.tried[other], sketch)
        return found

    def _scaled_beside(self, one: Tried, other: Tried, both: Array) -> list[Tried]:
        """Two edits, the second with the factor found from what the first leaves; ``both``: their sketch, factor 0."""
        change, left = both - one.sketch, self.target - one.sketch
        unit = self.unit
        length = float(np.sum((change / unit) ** 2))
        share = float(np.sum(change / unit * left / unit)) / length if length else 0.0
        if not share or np.any(np.abs(left - share * change) > 4 * (1 + abs(share)) * self.slack):
            return []
        self.scaled_pairs += 1
        for edit in self._with_factors(other, 1 - share) if self.scaled_pairs <= PAIRS else ():
            joined = one.edit.together(edit)
            if joined is not None and (found := self.verified(joined)):
                return found
        return []


def _foretell(what: str, seconds: float) -> None:
    """Warn that a long search will take so many seconds."""
    if seconds > LONG:
        length = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
        words = f"diagnose: {what}; this will take about {length} of a processor"
        warn(f"{words}. Fewer steps or smaller layers show the same mistake sooner")
