"""`check_gradients` of this build beside that of another commit, on an LSTM of 4 units, in one run.

    python benchmarks/check_speed.py [--against 2161539] [--build FOLDER] [--steps 200 500] [--inputs]

Each build checks the same cell on the same numbers in a process of its own, the two in turns, after a check of two time
steps, so that nothing is compiled or imported while the clock runs. Judged are the weights and the states; with
--inputs also every element of the inputs, which the other build computes one by one: its time then grows with the
square of the steps. Printed are the processor's seconds for the call alone (other programs do not count), their ratio,
and both verdicts, for the right rules and with tanh's rule off by a billionth. The other build is taken out of the
repository's history; --build keeps it in a folder, to be used again.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ONE = """
import sys, time
import numpy as np
import tinygrad_rnn as tg

steps, factor, inputs = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "True"
tg.manual_seed(0)
cell = tg.nn.LSTMCell(4, 4, dtype=np.float64)
rule = tg.TABLE["tanh"].vjp[0]
tg.TABLE["tanh"].vjp = (lambda g, y, _x: rule(g, y, _x) * factor,)
x = np.random.default_rng(0).standard_normal((steps, 1, 4))

def function(x):
    h = (tg.zeros((1, 4), dtype=np.float64), tg.zeros((1, 4), dtype=np.float64))
    for t in tg.steps(len(x)):
        h = cell(x[t], h)
    return h[0].square().sum()

def check(x):
    if inputs:
        return tg.check_gradients(function, x, raise_exception=False)
    given = tg.tensor(x)
    return tg.check_gradients(lambda: function(given), raise_exception=False)

check(x[:2])
start = time.process_time()
report = check(x)
print(time.process_time() - start, report.verdict, len(report.comparisons), len(report.wrong))
"""


def timed(build: Path, steps: int, factor: float, inputs: bool) -> list[str]:
    """Seconds, verdict, comparisons and how many of them are wrong."""
    command = [sys.executable, "-c", ONE, str(steps), repr(factor), str(inputs)]
    environment = {**os.environ, "PYTHONPATH": str(build)}
    done = subprocess.run(command, env=environment, cwd=build, capture_output=True, text=True, check=True)
    return done.stdout.split()


def main() -> None:
    """Run both builds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default="2161539", help="the commit to compare with")
    parser.add_argument("--steps", nargs="+", type=int, default=[200, 500])
    parser.add_argument("--build", type=Path, help="where that commit's package is, or is to be put")
    parser.add_argument("--inputs", action="store_true", help="judge the inputs' gradients, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        build = arguments.build or Path(folder)
        if not (build / "tinygrad_rnn").is_dir():
            command = ["git", "archive", arguments.against, "tinygrad_rnn"]
            packed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(build, filter="data")
        print("steps  rules  then s   now s  ratio  verdicts")
        for steps in arguments.steps:
            for name, factor in (("right", 1.0), ("wrong", 1 + 1e-9)):
                now, then = (timed(each, steps, factor, arguments.inputs) for each in (ROOT, build))
                ratio = float(then[0]) / float(now[0])
                alike = f"{then[1]} and {now[1]}, {then[3]} and {now[3]} of {now[2]} comparisons wrong"
                line = f"{steps:5}  {name}  {float(then[0]):6.1f}  {float(now[0]):6.2f}  {ratio:5.1f}  {alike}"
                print(line, flush=True)


if __name__ == "__main__":
    main()
