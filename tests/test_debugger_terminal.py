"""The line debugger: every command through a pipe, bad input, and that nothing typed changes a gradient."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from debugger_networks import looked_up, ragged, spelling, translated
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from nightly import NIGHTLY
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

import tinygrad_rnn as tg
import viz
from tinygrad_rnn import nn
from tinygrad_rnn.cli import main
from viz.debugger.breakpoint_conditions import Condition
from viz.debugger.terminal.formatting import Screen
from viz.debugger.terminal.line_debugger import ALIASES, GROUPS, Debugger, run

ROOT = Path(__file__).parent.parent
SCRIPT = """
import sys; sys.path.insert(0, 'tests')
import debugger_networks, viz
viz.debug(debugger_networks.spelling()).terminal()
"""
COMMANDS = [name for names in GROUPS.values() for name in names.split()]


def typed(lines: list[str], session=None) -> list[str]:
    """What the debugger says to each line, and before the first."""
    out = io.StringIO()
    run(session or viz.debug(spelling()), stdin=io.StringIO("".join(line + "\n" for line in lines)), stdout=out)
    return re.split(r"^\(bptt\) .*\n", out.getvalue(), flags=re.M)


def said(*lines: str, session=None) -> str:
    """What the debugger says to the last of these lines."""
    return typed(list(lines), session)[len(lines)]


def piped(text: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], input=text, capture_output=True, text=True, encoding="utf-8", cwd=ROOT,
        env=os.environ | {"PYTHONUTF8": "1"}, **options,
    )  # fmt: skip


# Every command, through a pipe -------------------------------------------------------------------------------

SESSION = [
    ("step", r"step 1 of \d+ .*\n  L = add\("),
    ("", r"step 2 of \d+ "),
    ("step 3", r"step 5 of \d+ "),
    ("back 2", r"step 3 of \d+ "),
    ("next", r"\[the next box\]"),
    ("nextt", r"t=3 of 4.*\[another time step\]"),
    ("prevt", r"t=4 of 4"),
    ("until f_2", r"\[until f_2\]\n  f_2 = sigmoid\(a_f2\)\n  At t=2 the forget gate f_2 multiplies"),
    (
        "goto c_2",
        r"c_2 = add\(\(f_2 ⊙ c_1\), \(i_2 ⊙ g_2\)\)\n.*\n  upstream .*\n  came by  highway [\d.]+, through h [\d.]+",
    ),
    ("goto 17", r"step 17 of"),
    ("goto -1", r"forward \d+ of \d+"),
    ("start", r"the loss .*\n  L = .*\n  The forward pass is over: the loss L is [\d.]+\."),
    ("forward", r"forward 1 of \d+ .*\n  x_1 = getitem\(letters\)\n.*\n  value +\[\[1\. 0\. 0\. 0\.\]\]"),
    ("continue", r"the loss .*\[between the passes: the loss is known\]"),
    ("break c_3", r"breakpoint 1: c_3"),
    ("tbreak op tanh", r"breakpoint 2: op tanh \(once\)"),
    ("continue", r"\[breakpoint 2: tanh\]"),
    ("break", r"^  1: c_3\n$"),
    ("continue", r"\[breakpoint 1: c_3 has its turn\]"),
    ("condition 1 norm > 1e9", r"1: c_3 \(if norm > 1e9, hit 1 times\)"),
    ("ignore 1 2", r"ignored 2 times more"),
    ("disable 1", r"disabled"),
    ("enable 1", r"breakpoint 1: c_3 \(if"),
    ("delete 1", r"breakpoint 1 is deleted"),
    ("watch weight_hh_l0", r"breakpoint 1: watch W_hh"),
    ("continue", r"the gradient of W_hh changed: 2 of 4 arrived, norm"),
    ("rcontinue", r"the gradient of W_hh changed: 1 of 4 arrived"),
    ("grad weight_ih_l0", r"W_xh.*0 of 4 arrived\n    nothing has arrived yet"),
    ("delete", r"all breakpoints are deleted"),
    ("where", r"stopped +breakpoint 1"),
    ("list", r"→ +\d+"),
    ("up", r"^  a_4 = add\(\(x_4 W_xhᵀ \+ b_xh\), \(h_3 W_hhᵀ \+ b_hh\)\)\n  value "),
    ("down 2", r"  \(h_3 W_hhᵀ \+ b_hh\) = linear\(h_3, W_hh, b_hh\)"),
    ("print h_1", r"h_1 = mul\(o_1, tanh\(c_1\)\)\n  value .*\n  gradient .*   1 of 2 arrived"),
    ("print c_1", r"c_1 = add\(.*\n  value .*\n  gradient nothing yet   0 of 2 arrived"),
    ("whatis f_2", r"what +operation #\d+: sigmoid.*\n  shape +1×3 float32\n  role +f\n  place +l0"),
    ("value h_2[0]", r"  h_2\n    \[ *-?\d\.\d+ "),
    ("goto f_3", r"saturated|upstream"),
    ("jac", r"∂f_3/∂a_f3, a diagonal   ∂L/∂a_f3 = ∂L/∂f_3 ⊙ f_3 ⊙ \(1 − f_3\)\n    \[\[0\.\d+ "),
    ("jac linear_3:2", r"∂\(h_2 W_hhᵀ \+ b_hh\)/∂h_2, 12×3, largest singular value"),
    ("vjp", r"upstream gradient\n.*\n  times, element by element\n.*\n  is the contribution\n"),
    ("check", r"to a_f3: agrees with the complex step within rounding, 3 elements"),
    ("frontier", r"done \d+, ready \d+, waiting \d+, not reached \d+\n  ready "),
    ("path h_1", r"and so to h_1"),
    ("end", r"the walk back is over"),
    ("contrib weight_hh_l0", r"t=4 +1 .*\n.*t=3 .*\n.*t=2 .*\n.*t=1 .*\n  gradient of W_hh \(weight_hh_l0\): norm"),
    ("norms", r"layer +t +of .*\n  l0 +1 +c .*2 of 2"),
    ("sv", r"‖∂s_t/∂s_t₋₁‖.*\n  2 .*\n  3 .*\n  4 "),
    ("split c_2", r"highway .*\n  through h .*\n  gradient of c_2: norm [\d.]+, 2 of 2 arrived"),
    ("triangle", r"h_1 +h_2 +h_3 +h_4\n  L_1 +[\d.]+ +· +· +·\n"),
    ("origin", r"every value and every gradient is finite"),
    ("source c_2", r"→ +\d+ +output, _ = rnn"),
    ("display grad h_2", r"  h_2   2 of 2 arrived\n    \[\["),
    ("step", r"walk back is over(?s:.*)grad h_2:\n  h_2   2 of 2"),
    ("undisplay", r"^$"),
    ("set grad c_3 0", r"what if the gradient of c_3 were 0:\n.*\n  W_xh \(weight_ih_l0\) "),
    ("set reset", r"as it was recorded"),
    ("clip 0.5", r"norm of all together [\d.]+, threshold 0\.5: scaled by"),
    ("plot", r"‖∂L/∂·‖"),
    ("plot weight_ih_l0", r"gradient of W_xh \(weight_ih_l0\)"),
    ("plot {folder}/norms.svg", r"wrote .*norms\.svg"),
    ("plot weight_hh_l0 {folder}/ledger.png", r"wrote .*ledger\.png"),
    ("html {folder}/walk.html", r"wrote .*walk\.html"),
    ("save {folder}/walk.trace", r"wrote .*walk\.trace"),
    ("load {folder}/walk.trace", r"the loss   t=4 of 4"),
    ("dot {folder}/graph.dot", r"wrote .*graph\.dot"),
    ("help", r"^move  step back next"),
    ("help until", r"until h_2 \| until t 1"),
    ("quit", r"^$"),
]


def test_every_command_through_a_pipe(tmp_path):
    lines = [line.format(folder=tmp_path) for line, _ in SESSION]
    done = piped("\n".join(lines) + "\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout, "colours only on a terminal"
    answers = re.split(r"^\(bptt\) .*\n", done.stdout, flags=re.M)[1:]
    assert len(answers) == len(SESSION)
    for line, (_, expected), answer in zip(lines, SESSION, answers, strict=True):
        assert re.search(expected, answer), f"{line!r} said:\n{answer}"
        assert "error" not in answer
    assert (tmp_path / "walk.trace").is_file() and (tmp_path / "graph.dot").is_file()
    assert "norm of the gradient" in (tmp_path / "norms.svg").read_text(encoding="utf-8")
    assert (tmp_path / "ledger.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "walk.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_pipe_session_leaves_no_command_out():
    used = {ALIASES.get(line.split()[0], line.split()[0]) for line, _ in SESSION if line}
    assert used >= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    answer = said(f"help {command}")
    assert answer.startswith(command) and ":" in answer and "error" not in answer


def test_breakpoints_are_ignored_as_often_as_asked_and_stop_on_the_way_back_too():
    stops = typed(["break op sigmoid", "ignore 1 2", "continue", "continue", "rcontinue", "disable 1", "continue"])
    assert [re.findall(r"^  (\w+) =", stops[i], re.M)[0] for i in (3, 4, 5)] == ["i_4", "o_3", "i_4"]
    assert "the walk back is over" in stops[7]


def test_an_empty_line_repeats_and_the_input_may_be_empty():
    assert "step 4 of" in typed(["step", "", "", ""])[4]
    run(viz.debug(spelling()), stdin=io.StringIO(), stdout=(out := io.StringIO()))
    assert "error" not in out.getvalue()


# Bad input ---------------------------------------------------------------------------------------------------

BAD = [
    ("stpe", "did you mean step"), ("nonsense", "help lists the commands"), ("goto", "goto wants a place"),
    ("goto 99999", "does not exist"), ("goto h_77", "did you mean h_"), ("goto letters", "neither pass stops at it"),
    ("goto t 9", "they go from 1 to 4"), ("step many", "not a number"), ("back 0", "not a number from 1"),
    ("break", "no breakpoints"), ("break op sigmiod", "did you mean sigmoid"), ("break op log", "is not used"),
    ("break t 7", "no time step 7"), ("break norm > x", "x is not a number"), ("break norm > 1e999", "not a number"),
    ("break if __import__('os').system('true')", "only names, numbers"), ("break if norn > 1", "did you mean norm"),
    ("break if role == f", "a text stands in quotes: role == 'f'"),
    ("break if t > 1 and f in name", "a text stands in quotes: 'f' in name"),
    ("break if 9**9**9", "only names"), ("break if (", "cannot use the condition"), ("break if", "cannot use"),
    ("break h_2 if x.y", "only names"), ("condition 3 norm > 1", "which breakpoint"), ("ignore 1", "which breakpoint"),
    ("delete x", "which breakpoint"), ("until nowhere", "no node is called nowhere"), ("watch nothing", "no node"),
    ("list here", "list wants"), ("down 99", "there are 2: "), ("value h_2[9]", "is not in a value of shape"),
    ("value h_2[:::::]", "is not in a value"), ("value h_2[a]", "no node"), ("jac weight_hh_l0", "is a leaf"),
    ("vjp", "nothing is sent on here"), ("path loss", "that is where the walk starts"), ("path letters", "no gradient"),
    ("contrib letters", "no gradient reaches"), ("split f_2", "not a carried state"), ("sv l7", "no layer is called"),
    ("check", "nothing is sent on here"),
    ("display nonsense", "no node"), ("display origin", "display takes"), ("undisplay 5", "which?"),
    ("set grad c_2", "set grad NODE VALUE"), ("set grad c_2 [1, 2", "is not a number"), ("set", "set grad NODE"),
    ("set grad c_2 __import__('os')", "is not a number"), ("set grad c_2 [1.0, 2.0]", "has shape"),
    ("set grad letters 0", "received no gradient"), ("clip", "clip wants"), ("clip -1", "from 0 up"),
    ("clip nan", "clip wants"), ("save", "save wants"), ("save /proc/none/walk", "cannot write"),
    ("load /nowhere", "cannot read"), ("load", "load wants"),
    ("html", "html wants"), ("html /proc/none/page.html", "cannot write"), ("plot nothing x.svg", "no node"),
    ("plot /proc/none/norms.svg", "cannot write"), ("plot letters {folder}/x.svg", "no time step contributes"),
    ("dot", "dot wants"), ("dot picture.xyz", "xyz"), ("help frobnicate", "no command"), ("\x1b[2J\x00", "error"),
    ("#99999", "there is no command"), ("source letters", ""), ("print " + "x" * 100_000, "no node is called"),
]  # fmt: skip


@pytest.fixture(scope="module")
def walked() -> viz.debugger.Session:
    return viz.debug(spelling())


@pytest.mark.parametrize(("line", "expected"), BAD)
def test_bad_input_is_one_line_and_the_session_goes_on(line, expected, walked):
    walked.goto(0)
    answers = typed([line, "step"], walked)
    assert expected in answers[1]
    assert answers[1].count("\n") <= 12 and "Traceback" not in answers[1] and "\x1b" not in answers[1]
    if answers[1].startswith("error"):
        assert answers[1].count("\n") == 1 and len(answers[1]) < 500
        assert "[at " not in answers[1], "the line that started the debugger is not what was typed"
    assert "step 1 of" in answers[2]


def test_bytes_that_are_no_text_do_no_harm_and_the_input_may_end_within_a_line():
    done = subprocess.run([sys.executable, "-c", SCRIPT], input=b"\xff\xfe\x00\nstep", capture_output=True, cwd=ROOT)
    assert done.returncode == 0 and b"step 1 of" in done.stdout and done.stderr == b""


def test_a_closed_pipe_ends_it_quietly():
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    process.stdout.close()
    _, errors = process.communicate(b"list\n" * 2000)
    assert process.returncode == 0 and errors == b""


def test_a_program_without_a_console_is_no_problem(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(sys, "stdout", None)
    viz.debug(spelling(steps=1)).terminal([f"save {tmp_path / 'walk'}"])
    assert (tmp_path / "walk").exists()


def test_an_interrupt_ends_a_command_not_the_session():
    out = io.StringIO()
    debugger = Debugger(viz.debug(spelling()), io.StringIO(), out)

    def interrupted(_argument: str) -> None:
        signal.raise_signal(signal.SIGINT)

    debugger.do_norms = interrupted
    assert debugger.onecmd("norms") is False
    debugger.onecmd("step")
    assert "interrupted" in out.getvalue() and "step 1 of" in out.getvalue()


def test_commands_can_be_given_beforehand(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("step\n"))
    viz.debug(spelling()).terminal(["goto c_2", "quit"])
    shown = capsys.readouterr().out
    assert "(bptt) goto c_2" in shown and "step 1 of" not in shown


def test_completion_knows_commands_and_nodes():
    debugger = Debugger(viz.debug(spelling()), io.StringIO(), io.StringIO())
    assert debugger.completenames("cont") == ["continue ", "contrib "]
    assert debugger.completedefault("weight_") == ["weight_hh_l0", "weight_ih_l0"]
    assert "nonfinite" in debugger.complete_break("non")
    assert debugger.complete_until("s", "until op s", 9, 10) == ["sigmoid", "stack", "sum"]
    assert debugger.complete_set("gr") == ["grad "]
    assert debugger.complete_help("tri") == ["triangle"]


class Terminal(io.StringIO):
    """A screen that counts as a terminal."""

    def isatty(self):
        return True


def test_on_a_terminal_tab_completes_and_ctrl_c_and_ctrl_d_do_what_they_do_elsewhere():
    out = Terminal()
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("whatis weight_h\t\rtb op si\t\rcontr\t h_1\rnorm\x03\x04")
        Debugger(viz.debug(spelling()), Terminal(), out).run()
    plain = re.sub(r"\x1b\[[\d;]*m", "", out.getvalue())
    assert "weight_hh_l0)" in plain and "breakpoint 1: op sigmoid (once)" in plain and "h_1" in plain
    assert "error" not in plain and plain.endswith("\n\n\n")


@pytest.mark.parametrize("there", [True, False])
def test_without_prompt_toolkit_there_is_readline_and_without_that_a_line_says_what_brings_completion(
    monkeypatch, there
):
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    if not there:
        monkeypatch.setitem(sys.modules, "readline", None)
    out, lines = Terminal(), iter(["whatis h_1"])
    monkeypatch.setattr("builtins.input", lambda _prompt: next(lines, "quit"))
    Debugger(viz.debug(spelling()), Terminal(), out).run()
    assert "operation #" in out.getvalue()
    assert ("pip install 'tinygrad_rnn[debugger]'" in out.getvalue()) is not there


def test_networks_of_every_kind_can_be_looked_at():
    everything = [*GROUPS["look"].split(), "clip 1", "forward", "list", "next 3"]
    for network in (looked_up, ragged, translated):
        answers = typed(["break t 1", "continue", *everything, "end", *everything], viz.debug(network()))
        assert len(answers) == 5 + 2 * len(everything) and "the walk back is over" in answers[3 + len(everything)]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_numbers_that_are_not_finite_can_be_looked_at(bad):
    tg.manual_seed(0)
    cell = nn.LSTMCell(2, 3)
    state = None
    with np.errstate(all="ignore"):
        for t in tg.steps(3):
            state = cell(tg.tensor([[1.0, bad if t == 1 else 0.5]]), state)
        loss = (state[0].exp() * bad).sum()
    session = viz.debug(loss)
    everything = [*GROUPS["look"].split(), "clip 1", "set grad h_2 inf"]
    answers = typed(["break nonfinite", "continue", *everything, "end", *everything, "forward", *everything], session)
    assert len(answers) == 6 + 3 * len(everything) and "breakpoint 1: " in answers[2]
    for p in range(session.first, session.last + 1):
        json.dumps(session.snapshot(p), allow_nan=False)


def test_of_several_layers_it_is_said_whose_numbers_these_are():
    session = viz.debug(nn.LSTM(2, 3, num_layers=2)(tg.randn(3, 1, 2))[0].square().sum())
    assert "  of layer l0; for others say l1 or name a state\n" in said("triangle l0", session=session)
    assert "of layer l1" in said("sv h2_3", session=session)


def test_of_a_long_table_the_ends_are_shown():
    for count, shown in ((200, 201), (201, 202), (5000, 202)):
        out = io.StringIO()
        Screen(out).table(("row",), [(str(i),) for i in range(count)])
        lines = out.getvalue().splitlines()
        assert len(lines) == shown and lines[1].split() == ["0"] and lines[-1].split() == [str(count - 1)]
    assert lines[101] == "  … 4800 rows more …"


def test_names_from_the_program_cannot_write_to_the_terminal():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="\x1b[31mred\nname[bold]</script>")
    with tg.scope("\x1b]0;title\x07" + "far" * 1000, part="p" * 1000):
        loss = (x * x).sum()
    answers = typed(["step", "", "", "list", "whatis", "contrib", "print #0", "break #0"], viz.debug(loss))
    assert all(character.isprintable() or character == "\n" for answer in answers for character in answer)
    assert "[bold]" in "".join(answers), "the name is text, not markup"
    assert max(len(line) for answer in answers for line in answer.splitlines()) < 300


# Conditions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t == 3 and role == 'f'", ["f_3"]), ("name in 'h_2'", ["h_2"]),
        ("op == 'tanh' and t < 2", ["tanh(c_1)", "g_1"]),
        ("not op != 'stack'", ["stack"]), ("1 < t <= 2 and role == 'c'", ["c_2"]), ("k == 3 - 1 * 2", ["L"]),
        ("t / (k - k) > 1", []), ("nan + inf > 0", []), ("role == 'o' and t - 3 == 1", ["o_4"]),
        ("phase == 'backward' and uses == 2 and role == 'c' and saturated == 0", ["c_3", "c_2", "c_1"]),
        ("layer == 'l0' and role == 'h' and size == 3 and zero < 3 and norm > 0 and max >= min and t == 1", ["h_1"]),
        ("role == 'f' and ratio > 1", []), ("role == 'f' and 0 < ratio < 0.26 and t == 2", ["f_2"]),
    ],
)  # fmt: skip
def test_conditions_mean_what_they_say(text, expected):
    session = viz.debug(spelling())
    condition = Condition(text)
    found = [session.where(p).name for p in range(1, session.last + 1) if condition.holds(session, p)]
    assert found == expected


PIECES = st.sampled_from(["norm", "t", "(", ")", " and ", " not ", ">", "==", "1", "'x'", ".", "[", "+", "-", ","])


@given(st.text(max_size=60) | st.lists(PIECES, max_size=12).map("".join))
@settings(max_examples=150 if NIGHTLY else 25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_makes_a_condition_misbehave(text):
    try:
        condition = Condition(text)
    except tg.ArgumentError as error:
        assert "\n" not in str(error)
    else:
        assert condition.holds(SHARED, 1) in (True, False)


@pytest.mark.parametrize("text", ["norm" + " > norm" * 10_000, "(" * 5000, "not " * 500 + "t", "[1]", "f()", "t ** t"])
def test_heavy_conditions_are_refused(text):
    with pytest.raises(tg.ArgumentError):
        Condition(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t > '3'", "t is a number and '3' a text"),
        ("norm > 1 and role == 3", "role is a text and 3 a number"),
        ("'x' * 999999999999 == name", "not with texts"),
        ("-op == 'tanh'", "a text has no negative"),
        ("'h' in t", "'h' is a text and t a number"),
        ("k in 3", "3 is a number: nothing is in it"),
        ("t / 0 > 1", "nothing can be divided by 0"),
    ],
)
def test_what_can_never_be_evaluated_is_refused(text, said):
    with pytest.raises(tg.ArgumentError, match=re.escape(said)):
        Condition(text)


# Any sequence of commands ------------------------------------------------------------------------------------

SHARED = viz.debug(spelling())
NODES = ["h_1", "c_2", "f_3", "weight_hh_l0", "loss", "stack", "letters", "#0", "#40", "nobody"]
PLACES = ["h_2", "t 2", "op sigmoid", "nan", "norm > 0.1", "norm < 0.05", "if t == 2 and role == 'c'", "c_1 if t > 9"]
WITH_NODE = ["print", "whatis", "value", "grad", "jac", "contrib", "path", "split", "watch", "goto", "until", "display"]
ALONE = [
    "step", "back", "next", "nextt", "prevt", "continue", "rcontinue", "start", "end", "forward", "where", "list", "up",
    "down", "vjp", "norms", "frontier", "origin", "check", "undisplay", "delete", "clip 0.1", "", "sv", "triangle",
    "step 7", "back 11", "until", "break", "disable 1", "enable 1", "ignore 1 2", "condition 1 t == 2", "plot",
]  # fmt: skip
NETWORKS = [spelling, looked_up, ragged, lambda: spelling("GRU", batch=2)]


class AnySession(RuleBasedStateMachine):
    """Whatever is typed, the walk ends with the same gradients, and what is shown on the way is a partial sum."""

    @initialize(network=st.sampled_from(NETWORKS))
    def start(self, network):
        self.loss = network()
        self.out = io.StringIO()
        self.session = viz.debug(self.loss)
        self.debugger = Debugger(self.session, io.StringIO(), self.out)
        position = self.session.graph.by_serial()
        self.leaves, self.sums, self.what_if = {}, [{self.session.trace.output: np.ones(self.loss.shape)}], False
        for step in tg.walk([self.loss], [np.ones(self.loss.shape, self.loss.dtype)]):
            sums = dict(self.sums[-1])
            for sent in step.contributions:
                target = position[sent.target.serial]
                sums[target] = sums.get(target, 0.0) + np.asarray(sent.value, np.float64)
            self.sums.append(sums)
            if step.node.op is None:
                self.leaves[position[step.node.serial]] = step.gradient.tobytes()

    def type(self, line):
        assert self.debugger.onecmd(line) is False

    @rule(line=st.sampled_from(ALONE))
    def command(self, line):
        self.type(line)

    @rule(word=st.sampled_from(WITH_NODE), node=st.sampled_from(NODES))
    def command_about_a_node(self, word, node):
        self.type(f"{word} {node}")

    @rule(word=st.sampled_from(["break", "tbreak", "until"]), place=st.sampled_from(PLACES))
    def stop_somewhere(self, word, place):
        self.type(f"{word} {place}")

    @rule(node=st.sampled_from(NODES), value=st.sampled_from(["0", "1e3", "nan"]))
    def ask_what_if(self, node, value):
        self.type(f"set grad {node} {value}")
        self.what_if = self.session.trace is not self.session.recorded

    @rule()
    def take_it_back(self):
        self.type("set reset")
        self.what_if = False

    @invariant()
    def what_has_arrived_is_a_partial_sum(self):
        session = self.session
        assert session.first <= session.position <= session.last and session.reason
        if self.what_if:
            return
        expected = self.sums[max(session.position, 0)]
        for node in (*self.leaves, session.node_at()):
            shown = session.gradient(node)
            if node not in expected:
                assert shown is None
            else:
                np.testing.assert_allclose(shown, expected[node], rtol=1e-4, atol=1e-6)

    def teardown(self):
        if not hasattr(self, "session"):
            return
        self.type("set reset")
        self.type("end")
        for node, gradient in self.leaves.items():
            assert self.session.gradient(node).tobytes() == gradient
        self.loss.backward()  # not walked before: looking left the graph as it was


def test_any_sequence_of_commands_ends_with_the_same_gradients():
    profile = settings.default
    run_state_machine_as_test(
        AnySession,
        settings=settings(
            profile,
            max_examples=max(profile.max_examples // 2, 5),
            stateful_step_count=20,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


# The command -------------------------------------------------------------------------------------------------


def command(*arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(main, ["debug", *arguments], input=typed)


def test_the_command_debugs_a_script_a_saved_walk_and_a_pattern(tmp_path):
    script = tmp_path / "model.py"
    script.write_text(
        "import tinygrad_rnn as tg\n"
        "def loss():\n"
        "    w = tg.tensor([2.0], requires_grad=True, name='w')\n"
        "    return (w * w * w).sum()\n"
    )
    walk = tmp_path / "walk.trace"
    shown = command(f"{script}:loss", "-c", "goto #1", "-c", f"save {walk}", typed="source\n")
    assert shown.exit_code == 0 and "model.py:4" in shown.output
    assert "→    4      return (w * w * w).sum()" in shown.output
    assert "(w ⊙ w) = mul(w, w)" in command(str(walk), typed="goto #1\n").output
    assert "5 time steps" in command("--pattern", "many-to-one", "--cell", "gru", "--steps", "5").output
    assert "one time step in 2" in command("--every", "2").output


def test_the_command_writes_a_page(tmp_path):
    page = tmp_path / "pages" / "hello.html"
    done = command("--html", str(page))
    assert (done.exit_code, done.output) == (0, f"wrote {page}\n")
    assert "<title>LSTM, hell → ello" in page.read_text(encoding="utf-8")
    assert command("--pattern", "many-to-one", "--cell", "gru", "--html", str(page)).exit_code == 0
    assert "<title>GRU, many-to-one" in page.read_text(encoding="utf-8")
    done = command("--html", "/proc/none/page.html")
    assert done.exit_code == 2 and "cannot write" in done.output and done.output.count("\n") == 1
    script = tmp_path / "model.py"
    script.write_text("import tinygrad_rnn as tg\ndef loss(): return (tg.ones(2, requires_grad=True) * 2).sum()\n")
    done = command(f"{script}:loss", "--html", str(script))
    assert done.exit_code == 2 and "ends in .html" in done.output and "def loss" in script.read_text()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import tinygrad_rnn as tg\ndef loss(): return tg.ones(3)\n", "requires a gradient"),
        ("def loss(): return 3\n", "not int"),
        ("import tinygrad_rnn as tg\ndef loss(): return tg.tensor([1., 2.], requires_grad=True) * 1\n", "2 elements"),
        ("def loss(): return 1 / 0\n", "ZeroDivisionError"),
        ("def other(): pass\n", "no function"),
    ],
)
def test_the_command_says_in_one_line_what_it_cannot_debug(tmp_path, source, expected):
    (tmp_path / "model.py").write_text(source)
    done = command(f"{tmp_path / 'model.py'}:loss")
    assert done.exit_code == 2 and expected in done.output and done.output.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["model.py"], "not of the form script.py:function"),
        (["none.trace"], "no file, and not of the form"),
        (["--html", "x.html", "-c", "step"], "carries out no commands"),
    ],
)
def test_the_command_says_what_it_was_not_given(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text("def loss(): pass\n")
    done = command(*arguments)
    assert done.exit_code == 2 and said in done.output and done.output.count("\n") == 1
    assert not (tmp_path / "x.html").exists()


def test_the_command_says_which_options_change_nothing():
    assert "note: the lecture's model" in command("--layers", "2").stderr
    assert "note: " not in command("--cell", "gru", "--hidden", "2").stderr


def test_only_lines_of_the_users_own_are_named(tmp_path):
    walk = tmp_path / "walk.trace"
    typed = f"goto h_99\nsave {walk}\nload {walk}\nstep\nwhatis c_2\n"
    shown = command(typed=typed).output
    assert "error: no node is called h_99" in shown and "operation #" in shown
    assert ".py:" not in shown


def test_the_command_refuses_a_damaged_walk(tmp_path):
    (tmp_path / "walk.trace").write_text("{")
    done = command(str(tmp_path / "walk.trace"))
    assert done.exit_code == 2 and "is not a saved trace" in done.output and done.output.count("\n") == 1
