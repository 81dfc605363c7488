"""How often `tg.diagnose` names a mistake, as tables in Markdown.

    python benchmarks/diagnose_table.py planted own hand held-out pairs rounded right [--regimes normal] [--every 10]

Every wrong gradient comes from a backward pass written by hand in NumPy, which shares no code with the search.
``planted``: the planted bugs, RNN, LSTM, GRU, pooling and both ways. ``own``: those that fit, in three cells of no
library. ``hand``: students' mistakes (tests/handwritten.py). ``written``: those of each file tests/handwritten_*.py.
``held-out``: changes of the text of two backward passes
that the search was not written with (benchmarks/diagnose_held_out.py), ``--some`` of each, drawn with a fixed seed;
``pairs``: two such changes. ``rounded``: planted bugs, printed with 8 digits. ``single``: planted bugs whose forward
and backward pass are in single precision, as far as they change more than 2e-5. ``right``: right gradients, in full,
with 8 digits and as NumPy prints them; ``right-single``: the same in single precision. ``--every 10``: one in ten of
the planted bugs and of the mistakes written by hand.

"found": the edit named first is the mistake, by what its sentence says; "as an equal one": another edit that gives the
very same numbers is named first; in the last three kinds the two are not told apart.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import diagnose_held_out as held_out
import numpy as np

import tinygrad_rnn as tg
from tinygrad_rnn.diagnosis.student_names import MARKS
from tinygrad_rnn.testing.planted_bugs import REGIMES, correct, make_problem, wrong_gradients
from tinygrad_rnn.testing.planted_bugs.as_losses import loss_of, own_problem, own_wrong_gradients
from tinygrad_rnn.testing.planted_bugs.own_cells import OWN, OwnBptt
from tinygrad_rnn.testing.planted_bugs.score_table import LAST_BITS

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))
KINDS = ("rnn", "lstm", "gru", "both", "pool")
Arrays = dict[str, Any]
Case = tuple[str, str, tg.Tensor, Arrays]  #: row, what was wrong, the loss, the gradients

#: what the sentence says that names a planted bug
SAYS = {
    "truncated at 10 steps": r"step (2|3) of 12\), .*is missing",
    "truncated at 5 steps": r"step (7|8) of 12\), .*is missing",
    "h carry dropped": r"h receives from .*missing",
    "h carry dropped at one step": r"(step 2 of 12|first step).*h receives.*missing",
    "c carry dropped": r"c receives from .*missing",
    "c carry dropped at one step": r"(step 2 of 12|first step).*c receives.*missing",
    "gradient of the final state ignored": r"missing",
    "mask of ragged sequences ignored": r"masks? .*ignored",
    "state not reset between sequences": r"not reset",
    "dh0 and dc0 swapped": r"h0 and c0 are exchanged",
    "dh0 zero": r"h0? .*missing",
    "dc0 zero": r"c0? .*missing",
    "dW of the first step skipped": r"first step.*weight_hh.*missing",
    "dW of one step in the middle skipped": r"step 5 of 12.*weight_hh.*missing",
    "dW overwritten, not added to": r"every step but the first.*weight_hh.*missing",
    "dW overwritten at one step": r"last step.*weight_hh.*missing",
    "dW of the last step added twice": r"step 9 of 12.*weight_hh.*twice",
    "gradient of an earlier call left in": r"every shared weight is counted twice",
    "dL/db_ih and dL/db_hh in one buffer": r"bias_ih and bias_hh were added up in one buffer",
    "x one step late": r"of the step before",
    "h one step early": r"h of the step after|saved h .*step after|uses h where h",
    "bias not un-broadcast over the batch": r"bias.* is not un-broadcast",
    "bias averaged over batch, not summed": r"bias.* is (halved|divided by .*batch)",
    "W_hh transposed on the way back": r"h receives.*uses weight_hhᵀ? transposed",
    "dW_hh transposed": r"weight_hh.* transposed",
    "σ' where tanh' belongs": r"derivative of tanh is taken to be σ'",
    "tanh' where σ' belongs": r"derivative of sigmoid is taken to be tanh'",
    "gates i and f swapped": r"i and f are exchanged",
    "tanh' on c forgotten": r"tanh\(c.*forgotten",
    "path through gate o dropped": r"\bo\b.*missing",
    "path through gate f dropped": r"\bf\b.*missing",
    "gate f multiplied with the new c": r"c of the step after|saved c .*step after|uses c where c",
    "z and 1 − z swapped": r"z where|1 − ",
    "sign of dz": r"z.* wrong sign",
    "gate r forgotten before W_hh of n": r"lacks the factor r",
    "direct share z of old state dropped": r"h receives from z ⊙ h .*missing",
    "float32 inside": r"float32",
    "factor 1 + 1e-6": r"1 \+ 1e-06",
    "factor 1 + 1e-9": r"1 \+ 1e-09",
    "max gives each tie the whole gradient": r"every tie",
    "time steps visited in forward order": r"forward order",
    "1/T of a mean forgotten": r"number of time steps",
    "tanh' on one summand only": r"other summand only",
    "saved state overwritten by the next": r"saved h.*first.*step after",
    "upstream gradient edited in place": r"in place",
    "buffer shared by two directions": r"not set to zero.*loop over h",
}


def planted(regimes: list[str], kinds: tuple[str, ...] = KINDS, dtype: Any = np.float64) -> Iterator[Case]:
    """The planted bugs whose effect is in a whole gradient."""
    for regime in regimes:
        for kind in kinds:
            problem = make_problem(kind, regime, dtype=dtype)
            loss, right = loss_of(problem.astype(np.float64)), correct(problem.astype(np.float64)).whole
            for name, wrong in wrong_gradients(problem, kind):
                if _differs(wrong.whole, right, LAST_BITS[np.dtype(dtype).name]):
                    yield f"{kind}, {regime}", name, loss, {k: np.asarray(g, dtype) for k, g in wrong.whole.items()}


def own(regimes: list[str]) -> Iterator[Case]:
    """Those that fit, in cells of no library."""
    for regime in regimes:
        for kind in OWN:
            problem = own_problem(kind, regime)
            loss = loss_of(problem)
            for name, wrong in own_wrong_gradients(problem):
                if _differs(wrong.whole, OwnBptt(problem).gradients().whole, LAST_BITS["float64"]):
                    yield f"{kind}, {regime}", name, loss, wrong.whole


def hand() -> Iterator[Case]:
    """Students' mistakes."""
    import handwritten

    for mistake in handwritten.MISTAKES:
        yield mistake.style, mistake.meaning, handwritten.loss_of(mistake.style), mistake.gradients()


def written(module: Any) -> Iterator[Case]:
    """The mistakes of one of the other files of passes written by hand."""
    for style, old, new, meaning, _ in module.MISTAKES:
        yield style, meaning, module.loss_of(style), module.gradients(style, old, new)


def changed(some: int, pairs: bool, seed: int, networks: list[str]) -> Iterator[Case]:
    """Of the held-out networks."""
    for name in networks:
        made = list(held_out.cases(name, held_out.pairs(name, 2 * some, seed) if pairs else held_out.mutants(name)))
        chosen = np.random.default_rng(seed).permutation(len(made))[:some]
        for k in sorted(int(k) for k in chosen):
            yield name, made[k][0], held_out.loss_of(name), made[k][1]


def _differs(wrong: Arrays, right: Arrays, last_bits: float) -> bool:
    return any(np.linalg.norm(wrong[k] - v) > last_bits * np.linalg.norm(v) for k, v in right.items())


def printed(gradients: Arrays, digits: int = 8) -> Arrays:
    """As somebody printed them."""
    return {k: np.vectorize(lambda v: float(f"{v:.{digits}g}"))(np.asarray(g)) for k, g in gradients.items()}


def judge(
    title: str, cases: Iterator[Case], max_edits: int, digits: int | None = None, words: dict[Any, str] | None = None
) -> None:
    """Diagnose each, and print the table; ``words``: what one of the sentences has to say, by row and mistake."""
    rows: dict[str, Counter[str]] = {}
    missed: list[str] = []
    start = time.process_time()
    for row, name, loss, given in cases:
        found = tg.diagnose(loss, printed(given, digits) if digits else given, max_edits=max_edits)
        count = rows.setdefault(row, Counter())
        says = SAYS.get(name)
        verdict = "not found"
        if found.found:
            said = MARKS.sub("", found.edits[0].words)  # in whichever direction
            verdict = "found" if says is None or re.search(says, said) else "as an equal one"
            if words is not None and not any(words[row, name] in edit.words for edit in found.edits):
                verdict = "as an equal one"
        elif found.correct:
            verdict = "called right"
        count[verdict] += 1
        if verdict != "found":
            missed.append(f"{row}: {name}: {verdict}" + (f": {found.edits[0].words}" if found.edits else ""))
            print(f"  {missed[-1]}", file=sys.stderr, flush=True)
    total: Counter[str] = Counter()
    columns = ("found", "as an equal one", "not found", "called right")
    print(f"\n{title}\n\n| | cases | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 2)}")
    for row, count in rows.items():
        total += count
        print(f"| {row} | {count.total()} | {' | '.join(str(count[c]) for c in columns)} |")
    print(f"| all | {total.total()} | {' | '.join(str(total[c]) for c in columns)} |")
    seconds = time.process_time() - start
    print(f"\n{seconds / max(total.total(), 1):.1f} s of processor time a case.\n", flush=True)
    for line in missed:
        print(f"- {line}")


def as_numpy_prints(gradients: Arrays) -> Arrays:
    """What is read back from the text of arrays."""
    result = {}
    for name, g in gradients.items():
        with np.printoptions(threshold=10**9):
            text = str(g).replace("[", " ").replace("]", " ")
        result[name] = np.array([float(number) for number in text.split()]).reshape(np.shape(g))
    return result


def right_gradients(regimes: list[str], seeds: int, dtype: Any, title: str) -> None:
    """None of these may be called wrong."""
    count, wrong = 0, []
    for regime in regimes:
        for kind in KINDS:
            for seed in range(seeds):
                problem = make_problem(kind, regime, seed, dtype)
                loss = loss_of(problem.astype(np.float64))
                given = {k: np.asarray(g, dtype) for k, g in correct(problem).whole.items()}
                for how, write in (("in full", dict), ("8 digits", printed), ("NumPy's print", as_numpy_prints)):
                    found = tg.diagnose(loss, write(given), max_edits=1)
                    count += 1
                    if not found.correct or found.found:
                        wrong.append(f"{kind}, {regime}, seed {seed}, {how}: {found.wrong}")
    print(f"\n{title}: {count}, of which {len(wrong)} were called wrong.\n")
    for line in wrong:
        print(f"- {line}")


def main() -> None:
    """Print the tables that are asked for."""
    parts = ["planted", "own", "hand", "written", "held-out", "pairs", "rounded", "single", "right", "right-single"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*parts, []], default=parts)
    parser.add_argument("--regimes", nargs="+", choices=list(REGIMES), default=list(REGIMES))
    parser.add_argument("--networks", nargs="+", choices=list(held_out.NETWORKS), default=list(held_out.NETWORKS))
    parser.add_argument("--some", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5, help="of right gradients, in each regime and network")
    parser.add_argument("--seed", type=int, default=1, help="of the draw from the held-out changes")
    parser.add_argument("--every", type=int, default=1, help="of planted bugs and of those by hand, one in so many")
    asked = parser.parse_args()

    def some(cases: Iterator[Case]) -> Iterator[Case]:
        return islice(cases, 0, None, asked.every)

    if "planted" in asked.parts:
        judge("Planted bugs", some(planted(asked.regimes)), 1)
    if "own" in asked.parts:
        judge("Planted bugs in own cells", some(own(asked.regimes)), 1)
    if "hand" in asked.parts:
        judge("Written by hand, as students do", some(hand()), 1)
    for file in sorted(TESTS.glob("handwritten_*.py")) if "written" in asked.parts else ():
        module = importlib.import_module(file.stem)
        words = {(style, meaning): says for style, _, _, meaning, says in module.MISTAKES}
        judge(f"Written by hand, {file.name}", some(written(module)), 1, words=words)
    if "held-out" in asked.parts:
        judge("Held out: one change", changed(asked.some, False, asked.seed, asked.networks), 1)
    if "pairs" in asked.parts:
        judge("Held out: two changes", changed(asked.some // 2, True, asked.seed, asked.networks), 2)
    if "rounded" in asked.parts:
        judge("Planted bugs, printed with 8 digits", some(planted(asked.regimes, ("rnn", "gru"))), 1, digits=8)
    if "single" in asked.parts:
        judge("Planted bugs, in single precision", some(planted(asked.regimes, dtype=np.float32)), 1)
    if "right" in asked.parts:
        right_gradients(asked.regimes, asked.seeds, np.float64, "Right gradients")
    if "right-single" in asked.parts:
        right_gradients(asked.regimes, asked.seeds, np.float32, "Right gradients in single precision")


if __name__ == "__main__":
    main()
