"""The tests, tested: change one token of the engine at a time and see whether a test notices.

    pip install -e '.[test,mutation]'
    python tests/mutation.py                    # everything: hours; a mutant takes its target's tests once
    python tests/mutation.py optim --tests tests/test_optim.py
    python tests/mutation.py tracing --sample 20 --seed 3      # some of each file's, drawn with a seed

The changes are cosmic-ray's, those of ``CHANGES``; what else it offers (bits, remainders) any test would notice. Left
alone is ``strict=`` of a zip, which only matters once something else is wrong. The runner is our own: cosmic-ray starts
a process for each mutant, and most of what that takes are the imports. Kernels are mutated
too: ``NUMBA_DISABLE_JIT=1`` makes them plain Python. Each mutant runs in a forked process on a copy of the checkout;
one that makes the tests run ten times as long as without it counts as noticed, for it does not end.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ |= {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": "ci", "OPENBLAS_NUM_THREADS": "1"}
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # of this process alone, which the tests leave as it is
sys.dont_write_bytecode = True

import hypothesis  # noqa: E402, F401  imported before forking, so that no mutant pays for it
import numba  # noqa: E402, F401
import numpy  # noqa: E402, F401
import pytest  # noqa: E402
from cosmic_ray.ast import ast_nodes, get_ast  # noqa: E402
from cosmic_ray.mutating import mutate_code  # noqa: E402
from cosmic_ray.plugins import get_operator  # noqa: E402
from rich.progress import track  # noqa: E402

ROOT = Path(__file__).parent.parent
OPERATIONS = ["test_functional.py", "test_tensor.py", "test_errors.py", "test_primitives.py"]
KERNELS = ["test_kernels.py", "test_primitives.py::test_obeys_the_laws[take]"]
LAYERS = [
    "test_nn.py",
    "test_nn_variants.py",
    "test_dialects.py",
    "test_errors.py",
    "test_bptt.py",
    "test_bptt_laws.py",
    "test_compile.py::test_layers",
]
#: of the compiler, what is the same with and without JIT: recording, what it watches and refuses, and the passes
COMPILER = [
    "test_compile_effects_outside.py",
    "test_compile_handles.py",
    "test_compile_passes.py",
    "test_compile_is_eager.py",
    "test_compile_changes.py",
    "test_compile_watching.py",
    "test_compile_effects.py",
    "test_compile_reads.py",
]
#: what is mutated, and the tests that must notice, quickest first
TARGETS = {
    "tracing": ("compiler/tracing.py", COMPILER),
    "side effects": ("compiler/side_effects.py", COMPILER),
    "snapshots": ("compiler/snapshots.py", COMPILER),
    "calls": ("compiler/compiled_function.py", COMPILER),
    "primitives": ("primitives/*.py", OPERATIONS),
    "kernels": ("kernels.py", KERNELS),
    "backward": (
        "reverse_walk.py",
        [
            *OPERATIONS[:3],
            "test_backward.py",
            "test_compile.py::test_second_derivatives",
            "test_compile.py::test_layers",
        ],
    ),
    "cells": ("nn/cells.py", LAYERS),
    "recurrent": ("nn/recurrent.py", LAYERS),
    "optim": (
        "optimizers.py",
        [
            "test_optim.py",
            "test_optim_groups.py",
            "test_optim_formulas.py",
            "test_errors.py",
            "test_compile.py::test_optimizers_and_clipping",
            "test_compile.py::test_learning_rate_may_change",
        ],
    ),
    "clipping": (
        "nn/utils/__init__.py",
        ["test_optim.py", "test_errors.py", "test_compile.py::test_optimizers_and_clipping"],
    ),
}
CHANGES = [
    "NumberReplacer",
    "AddNot",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ZeroIterationForLoop",
    *(f"ReplaceUnaryOperator_{name}" for name in ("Delete_USub", "Delete_Not")),
    *(
        f"ReplaceBinaryOperator_{name}"
        for name in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Pow_Mul", "FloorDiv_Div")
    ),
    *(
        f"ReplaceComparisonOperator_{name}"
        for name in ("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Is_IsNot", "IsNot_Is")
    ),
]
PATIENCE = 10  #: times the tests' own duration


def mutants(file: Path, sample: int | None, seed: int) -> list[tuple[int, str, str, str]]:
    """Line number, the line before and after, and the whole source after, of every mutant of a file, or of a sample."""
    source, found = file.read_text(), []
    nodes = list(ast_nodes(get_ast(source)))
    places = []
    for name in CHANGES:
        operator = get_operator(f"core/{name}")()
        total = sum(len(list(operator.mutation_positions(node))) for node in nodes)
        places += [(operator, which) for which in range(total)]
    if sample is not None and sample < len(places):
        places = random.Random(seed).sample(places, sample)
    for operator, which in places:
        changed = mutate_code(source, operator, which)
        pairs = enumerate(zip(source.split("\n"), changed.split("\n")), 1)
        number, (before, after) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        if before.replace("strict=True", "strict=False") != after:
            found.append((number, before.strip(), after.strip(), changed))
    return found


def noticed(checkout: Path, file: Path, source: str, tests: list[str], seconds: float) -> bool:
    """Whether a test fails in ``checkout`` with ``source`` for the file, or they take more than ``seconds``."""
    target = checkout / file.relative_to(ROOT)
    target.write_text(source)
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(checkout)
        sys.path.insert(0, str(checkout))
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        code = 1
        try:
            code = int(pytest.main(["-x", "-q", "-n0", "-p", "no:cacheprovider", "--assert=plain", *tests]))
        finally:
            os._exit(code)
    until, status = time.monotonic() + seconds, 1
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.02)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    shutil.copy(file, target)
    return status != 0


def judge(file: Path, tests: list[str], jobs: int, sample: int | None, seed: int) -> tuple[int, list[str]]:
    """How many mutants there are (at most ``sample``, drawn from all), and the survivors."""
    found = mutants(file, sample, seed)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(jobs) as pool:
        free = []
        for job in range(jobs):
            free.append(Path(folder) / str(job))
            ignored = shutil.ignore_patterns(".*", "__pycache__", "out")
            shutil.copytree(ROOT, free[-1], ignore=ignored)
        start = time.monotonic()
        if noticed(free[0], file, file.read_text(), tests, 600):
            sys.exit(f"the tests of {file.name} fail, or take 600 s, without a mutant: {' '.join(tests)}")
        seconds = PATIENCE * (time.monotonic() - start)

        def run(mutant: tuple[int, str, str, str]) -> bool:
            checkout = free.pop()
            try:
                return noticed(checkout, file, mutant[3], tests, seconds)
            finally:
                free.append(checkout)

        answers = list(track(pool.map(run, found), description=str(file.relative_to(ROOT)), total=len(found)))
    survivors = [
        f"{file.relative_to(ROOT)}:{line}\n  - {before}\n  + {after}"
        for (line, before, after, _), seen in zip(found, answers)
        if not seen
    ]
    return len(found), survivors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--tests", nargs="*", help="instead of the target's own")
    parser.add_argument("--sample", type=int, help="at most so many of each file")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name in given.targets:
        if name not in TARGETS:
            parser.error(f"no target is called {name!r}; there are {', '.join(TARGETS)}")
        pattern, names = TARGETS[name]
        tests = given.tests or [f"tests/{test}" for test in names]
        total, survivors = 0, []
        for file in sorted((ROOT / "tinygrad_rnn").glob(pattern)):
            count, alive = judge(file, tests, given.jobs, given.sample, given.seed)
            total, survivors = total + count, survivors + alive
        print("\n".join(survivors), flush=True)
        print(
            f"{name}: {total - len(survivors)} of {total} mutants noticed, {100 - 100 * len(survivors) / total:.1f} %"
        )


if __name__ == "__main__":
    main()
