"""Examples of real models, without their packages: what pickles may ask for, what the networks are compared with."""

import importlib
import pickle
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import tinygrad_rnn as tg

FOLDER = Path(__file__).parent.parent / "examples" / "real_models"


@pytest.fixture
def packages(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module("packages")
    del sys.modules["packages"]


class Command:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))  # Python's default is 5 from 3.14 on
def test_a_pickle_may_hold_arrays_only(packages, tmp_path, capsys, protocol):
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"a": np.eye(2, dtype=np.float32), "ids": {"x": 1}}, protocol))
    np.testing.assert_array_equal(packages.unpickled(path)["a"], np.eye(2))
    path.write_bytes(pickle.dumps({"a": Command()}, protocol))
    with pytest.raises(tg.DataError, match=r"asks for builtins\.print, which is no array"):
        packages.unpickled(path)
    assert capsys.readouterr().out == ""


def test_what_they_are_compared_with(packages):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 2))
    for kind, layer in (("gru", tg.nn.GRU(2, 3, dtype=np.float64)), ("lstm", tg.nn.LSTM(2, 3, dtype=np.float64))):
        w = [value.numpy() for value in layer.state_dict().values()]
        if kind == "gru":
            states = packages.numpy_gru(x, np.zeros(3), *w)
        else:
            states = packages.numpy_lstm(x, w[0], w[1], w[2] + w[3])
        np.testing.assert_allclose(layer(x)[0].numpy(), states, atol=1e-14)


@pytest.mark.parametrize(
    ("example", "absent", "cure"),
    [("textgenrnn", "h5py", "pip install 'tinygrad_rnn[keras]'"), ("silero", "onnxruntime", "pip install onnxruntime")],
)
def test_what_an_example_needs_is_said_in_one_line(example, absent, cure, packages, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, absent, None)  # as if it were not installed
    monkeypatch.setattr(sys, "argv", [example])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(FOLDER / f"{example}.py"), run_name="__main__")
    said = capsys.readouterr().err
    assert end.value.code == 2 and absent in said and cure in said and said.count("\n") == 1
