"""The sessions printed in the documentation are what the command says today.

``python tests/test_debugger_transcripts.py`` writes them anew.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "transcripts"

SESSIONS = {
    "hello": ([], """forward; next 12; start; until f_3; vjp; goto c_3; split; nextt; until op linear; end
        contrib weight_hh; norms; triangle; sv; path h_1; clip 0.5; set grad c_3 0; set reset
        goto h_2; check; frontier; quit"""),
    "nan": (["nan.py:loss"], """end; grad weight_ih; contrib weight_ih; origin; source; vjp; up; break nan
        start; continue; set grad sum_1:1 0; contrib weight_ih; set reset; quit"""),
    "carry": (["carry.py:loss"], """end; norms; split c_5; whatis c_5:constant; source c_5:constant
        triangle; sv; quit"""),
}  # fmt: skip


def commands(name: str) -> list[str]:
    return re.split(r"\s*[;\n]\s*", SESSIONS[name][1])


def debug(arguments: list[str], typed: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from tinygrad_rnn.cli import main; main()", "debug", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    return subprocess.run(
        command, input=typed, text=True, encoding="utf-8", capture_output=True, cwd=FOLDER, env=environment
    )


def transcript(name: str) -> str:
    done = debug(SESSIONS[name][0], "\n".join(commands(name)) + "\n")
    assert (done.returncode, done.stderr) == (0, "")
    return f"$ tinygrad-rnn debug {' '.join(SESSIONS[name][0])}".rstrip() + f"\n{done.stdout}"


@pytest.mark.parametrize("name", SESSIONS)
def test_the_printed_session_is_what_the_command_says(name):
    assert transcript(name) == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def test_the_guide_quotes_the_sessions():
    sessions = "\n".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.txt"))
    quoted = re.findall(r"```text\n(.*?)```", (ROOT / "docs" / "debugger.md").read_text(encoding="utf-8"), re.S)
    assert len(quoted) >= 5
    for passage in quoted:
        assert passage in sessions


def test_the_nan_session_finds_the_line_and_the_carry_session_the_cut():
    nan, carry = ((FOLDER / f"{name}.txt").read_text(encoding="utf-8") for name in ("nan", "carry"))
    assert re.search(r"→ +\d+ +length = \(h \* h\)\.sum\(\)\.sqrt\(\)", nan)
    assert re.search(r"→ +\d+ +state = h, tg\.tensor\(np\.clip\(c, -3, 3\)\)", carry)


if __name__ == "__main__":
    for name in SESSIONS:
        (FOLDER / f"{name}.txt").write_text(transcript(name), encoding="utf-8")
