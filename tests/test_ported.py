"""PyTorch's programs become ours by the list of replacements, and have the same losses."""

from __future__ import annotations

import runpy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

FOLDER = Path(__file__).parent.parent / "examples" / "ported"
PROGRAMS = sorted(path.name for path in (FOLDER / "pytorch").glob("*.py"))


def test_the_list_is_complete() -> None:
    port = runpy.run_path(str(FOLDER / "port.py"))
    assert len(PROGRAMS) == 5
    for name in PROGRAMS:
        ours = (FOLDER / name).read_text(encoding="utf-8")
        assert port["ported"]((FOLDER / "pytorch" / name).read_text(encoding="utf-8")) == ours
        assert "torch" not in ours


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_losses_are_pytorchs(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Four steps from the same weights on the same data, in double precision: a loss to ten digits is no accident."""
    torch = pytest.importorskip("torch", reason="PyTorch is the other side")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's optimizers load its compiler when first made
        torch.optim.SGD([torch.ones(1, requires_grad=True)])
    programs = []
    for where in (FOLDER / "pytorch", FOLDER):
        text = (where / name).read_text(encoding="utf-8")
        copy = tmp_path / f"{where.name}_{name}"
        copy.write_text(text.replace("float32", "float64"), encoding="utf-8")
        programs.append(runpy.run_path(str(copy)))
    states: list[Any] = []
    load = torch.nn.Module.load_state_dict

    def spy(module: Any, _weights: Any) -> Any:
        states.append({key: value.numpy().copy() for key, value in module.state_dict().items()})
        return load(module, module.state_dict())

    monkeypatch.setattr(torch.nn.Module, "load_state_dict", spy)
    theirs, ours = programs
    single = torch.get_default_dtype(), tg.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        tg.set_default_dtype(tg.float64)
        expected, got = theirs["main"](4, {}), ours["main"](4, states[0])
    finally:
        torch.set_default_dtype(single[0])
        tg.set_default_dtype(single[1])
    assert {value.dtype for value in states[0].values()} == {np.dtype("float64")}
    assert len(got) == len(set(expected)) == 4
    np.testing.assert_allclose(got, expected, rtol=1e-10)
