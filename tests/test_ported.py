"""PyTorch's programs become ours by the list of replacements, and have the same losses."""

from __future__ import annotations

import runpy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
def test_the_losses_are_pytorchs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the other side")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's optimizers load its compiler when first made
        torch.optim.SGD([torch.ones(1, requires_grad=True)])
    theirs, ours = (runpy.run_path(str(path)) for path in (FOLDER / "pytorch" / name, FOLDER / name))
    states: list[Any] = []
    load = torch.nn.Module.load_state_dict

    def spy(module: Any, _weights: Any) -> Any:
        states.append({key: value.numpy().copy() for key, value in module.state_dict().items()})
        return load(module, module.state_dict())

    monkeypatch.setattr(torch.nn.Module, "load_state_dict", spy)
    expected = theirs["main"](3, {})
    np.testing.assert_allclose(ours["main"](3, states[0]), expected, rtol=2e-5)
