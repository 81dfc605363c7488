"""What every test shares: Hypothesis profiles, one kernel cache, and the watch over global state."""

import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import getmembers, isfunction
from pathlib import Path
from typing import Any

gc.disable()  # until everything is imported and collected

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis.database import DirectoryBasedExampleDatabase  # noqa: E402
from hypothesis.strategies import none  # noqa: E402

ROOT = Path(__file__).parent.parent

# one for all workers, `tinygrad_rnn.kernel_cache` bears several processes
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".pytest_cache" / "numba"))
# workers and the many processes that tests start find each file compiled
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.dont_write_bytecode = False
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a worker has one core, and matrices here are small
# most of the time of a test with JAX is XLA's compiling; what it compiles runs once
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

# what a shell starts in the background (`pytest &`) ignores Ctrl-C, and so would every process that a test starts
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import warm  # noqa: E402

import tinygrad_rnn as tg  # noqa: E402
import tinygrad_rnn.random  # noqa: E402
from tinygrad_rnn.testing import RECIPES, Source  # noqa: E402
from tinygrad_rnn.thread_state import current  # noqa: E402

# dev looks around a little on every run; ci looks at the same examples each time, so that a change is never blamed for
# an old bug found by luck; nightly is the one that explores, and keeps what it found.
settings.register_profile("dev", deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.register_profile(
    "nightly",
    settings.get_profile("dev"),
    derandomize=False,
    max_examples=1000,
    print_blob=True,
    database=DirectoryBasedExampleDatabase(ROOT / ".hypothesis" / "nightly"),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_configure(config: pytest.Config) -> None:
    """Where pytest-randomly is installed it shuffles; it would seed the generators that the tests watch over, too."""
    if hasattr(config.option, "randomly_reset_seed"):
        config.option.randomly_reset_seed = False


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before the first worker starts: no worker should compile what another compiles too."""
    if session.config.getoption("dist", "no") != "no" and not hasattr(session.config, "workerinput"):
        warm.warmed()


def pytest_collection_finish() -> None:
    """Thousands of tests, and all that was imported, stay: they are not looked through for garbage any more."""
    given(none())(
        lambda _: None
    )()  # the first run of a Hypothesis of 2024 asks the collector who holds its random numbers
    gc.freeze()
    gc.set_threshold(20_000, 50, 20)
    gc.enable()


#: of every primitive: one of its own has been put in the place of such a method
METHODS = {name for name, _ in getmembers(tg.Primitive, isfunction)}
#: variables that pytest sets for every test, scikit-learn when it is imported, and PyTorch when it takes a call apart
OTHERS = ("PYTEST_CURRENT_TEST", "KMP_", "TORCHINDUCTOR_")


def global_state() -> dict[str, object]:
    """Everything a test could leave behind."""
    return {
        "the default dtype": tg.get_default_dtype(),
        "gradient recording": current.recording,
        "the scope": current.scope,
        "NumPy's error handling": np.geterr(),
        "NumPy's way of printing": np.get_printoptions(),
        "NumPy's random numbers": np.random.get_state()[1].tobytes(),
        "the working directory": os.getcwd(),
        "the environment": {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)},
        "the table of primitives": [(name, op.vjp, op.accumulate, op.rule) for name, op in tg.TABLE.items()],
        "a method of a primitive": [(name, own) for name, op in tg.TABLE.items() if (own := METHODS & vars(op).keys())],
    }


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Fail if the global state is another afterwards; put it back for whoever comes next."""
    before, table, generator = global_state(), dict(tg.TABLE), tinygrad_rnn.random._generator
    numbers = np.random.get_state()
    tg.manual_seed(0)
    yield
    after = global_state()
    tinygrad_rnn.random._generator = generator
    tg.TABLE.clear()
    tg.TABLE.update(table)
    changed = [name for name in before if before[name] != after[name]]
    if not changed:
        return
    tg.set_default_dtype(before["the default dtype"])
    current.recording, current.scope = before["gradient recording"], before["the scope"]
    np.seterr(**before["NumPy's error handling"])
    np.set_printoptions(**before["NumPy's way of printing"])
    np.random.set_state(numbers)
    os.chdir(before["the working directory"])
    for name in after["the environment"].keys() - before["the environment"].keys():
        del os.environ[name]
    os.environ.update(before["the environment"])
    pytest.fail(f"the test left {' and '.join(changed)} changed")


@pytest.fixture(autouse=True)
def _watch_global_state() -> Iterator[None]:
    with nothing_left_behind():
        yield


@pytest.fixture(scope="session")
def warm_kernels() -> None:
    """Compile what a test needs before it starts, so that no test pays for another's kernels."""
    for primitive in tg.TABLE.values():
        for dtype in primitive.kernel_dtypes if primitive.kernel else "":
            for seed in range(4):
                case = RECIPES[primitive.name](Source(seed, sizes=[2]))
                operands = (x.astype(dtype) if np.asarray(x).dtype.kind == "f" else x for x in case.operands)
                primitive.compiled(*operands, **case.attrs)


@pytest.fixture
def experiment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Imports a program as its own folder, ``EXPERIMENTS`` of the test's module, has it; forgets it afterwards."""
    folder = request.module.EXPERIMENTS
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers for a test's data, the same on every run."""
    return np.random.default_rng(20)


@pytest.fixture
def float64() -> Iterator[None]:
    """Layers, zeros and Python floats in double precision."""
    tg.set_default_dtype(np.float64)
    yield
    tg.set_default_dtype(np.float32)
