"""Whatever else is called viz: `tg.viz`, the command and every script work; `import viz` is an alias of it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
THEIRS = 'render = "somebody else\'s"\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where somebody has a viz.py, and a script that uses this package."""
    made = tmp_path_factory.mktemp("shadowed")
    (made / "viz.py").write_text(THEIRS)
    (made / "model.py").write_text(
        "import tinygrad_rnn as tg\nw = tg.tensor([1.0, 2.0], requires_grad=True, name='w')\n"
        "def loss():\n    return (w * w).sum()\n"
    )
    return made


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=folder, text=True, capture_output=True, timeout=120)


def test_pictures_walks_and_checks_beside_a_users_own_viz(folder: Path) -> None:
    """Theirs is imported first; ours works, and says once what `import viz` is here."""
    done = run(
        folder,
        "-c",
        "import viz, tinygrad_rnn as tg, model\n"
        'assert viz.render == "somebody else\'s"\n'
        "assert 'svg' in tg.viz.render(model.loss()).svg\n"
        "assert len(tg.viz.debug(model.loss()).trace) > 1\n"
        "assert tg.check_gradients(tg.Graph(model.loss()))\n"
        "from tinygrad_rnn.viz.debugger import Session\n"
        'import viz\nassert viz.render == "somebody else\'s"\n',
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("viz.py here, not tinygrad_rnn's pictures; use `from tinygrad_rnn import viz`") == 1


@pytest.mark.parametrize("first", ["import viz\nimport tinygrad_rnn as tg", "import tinygrad_rnn as tg\nimport viz"])
def test_a_viz_that_is_not_ours_is_called_what_it_is_where_it_is_imported(folder: Path, first: str) -> None:
    (folder / "script.py").write_text(f"{first}\n", encoding="utf-8")
    done = run(folder, "script.py")
    assert done.returncode == 0 and done.stderr.count("Warning: `import viz` gives ") == 1, done.stderr
    assert f"script.py:2: UserWarning: `import viz` gives {folder / 'viz.py'} here" in done.stderr


def test_where_no_viz_is_found_none_is_said_to_be_another(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import sys, tinygrad_rnn\nsys.path[:] = []\nimport viz\n", encoding="utf-8")
    done = run(tmp_path, "script.py")
    assert "No module named 'viz'" in done.stderr and "gives" not in done.stderr


def test_a_module_under_its_former_name_is_told_at_the_users_line(tmp_path: Path) -> None:
    former = "backward", "language", "check.kinks", "check.recorded", "check.rounding_noise", "viz.derivation"
    lines = [f"import tinygrad_rnn.{name}" for name in former]
    (tmp_path / "script.py").write_text("\n".join(lines), encoding="utf-8")
    done = run(tmp_path, "script.py")
    assert done.returncode == 0, done.stderr
    for number, name in enumerate(former, 1):
        assert f"script.py:{number}: DeprecationWarning: tinygrad_rnn.{name} is now " in done.stderr


def test_the_command_beside_a_users_own_viz(folder: Path) -> None:
    done = run(folder, "-m", "tinygrad_rnn", "render", "model.py:loss", "-o", "loss.svg")
    assert done.returncode == 0 and (folder / "loss.svg").is_file(), done.stderr


def test_the_short_name_is_the_same_modules_in_either_order(tmp_path: Path) -> None:
    for first in ("import viz.style, tinygrad_rnn as tg", "import tinygrad_rnn as tg; tg.viz.style; import viz.style"):
        done = run(
            tmp_path,
            "-W",
            "error",
            "-c",
            f"import tinygrad_rnn.viz.style\n{first}\n"
            "import sys, importlib, viz, viz.debugger.session\n"
            "from viz.debugger import Session\n"
            "assert viz is tg.viz and viz.style is tg.viz.style and Session is tg.viz.debugger.session.Session\n"
            "assert viz.style.__spec__.name == 'tinygrad_rnn.viz.style' == importlib.reload(viz.style).__name__\n"
            "assert not any(m.__name__.startswith('viz') for n, m in sys.modules.items() if n.startswith('viz'))\n",
        )
        assert done.returncode == 0, done.stderr


def test_nothing_of_ours_imports_the_short_name() -> None:
    """Else it would be broken where something else has that name; a wheel has the pictures inside the package."""
    for place in ("tinygrad_rnn", "viz", "examples"):
        for path in (ROOT / place).rglob("*.py"):
            lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
            assert not [line for line in lines if line.startswith(("import viz", "from viz"))], path
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["tinygrad_rnn"] and wheel["force-include"]["viz"] == "tinygrad_rnn/viz"
    assert wheel["force-include"]["short_name/viz.py"] == "viz.py"
