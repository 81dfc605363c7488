"""`check_gradients` of this build beside that of another commit, on an LSTM of 4 units, in one run.

    python benchmarks/check_speed.py [--against 2161539] [--steps 200 500]

Each build checks the same cell on the same numbers in a process of its own, the two in turns; printed are the seconds
of the call alone, their ratio, and both verdicts, for the right rules and with tanh's rule off by a billionth.
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

steps, factor = int(sys.argv[1]), float(sys.argv[2])
tg.manual_seed(0)
cell = tg.nn.LSTMCell(4, 4, dtype=np.float64)
rule = tg.TABLE["tanh"].vjp[0]
tg.TABLE["tanh"].vjp = (lambda g, y, _x: rule(g, y, _x) * factor,)
x = np.random.default_rng(0).standard_normal((steps, 1, 4))

def function(x):
    h = (tg.zeros((1, 4), dtype=np.float64), tg.zeros((1, 4), dtype=np.float64))
    for t in tg.steps(steps):
        h = cell(x[t], h)
    return h[0].square().sum()

start = time.perf_counter()
report = tg.check_gradients(function, x, raise_exception=False)
print(time.perf_counter() - start, report.verdict, len(report.comparisons), len(report.wrong))
"""


def timed(build: Path, steps: int, factor: float) -> list[str]:
    """Seconds, verdict, comparisons and how many of them are wrong."""
    command = [sys.executable, "-c", ONE, str(steps), repr(factor)]
    environment = {**os.environ, "PYTHONPATH": str(build)}
    done = subprocess.run(command, env=environment, cwd=build, capture_output=True, text=True, check=True)
    return done.stdout.split()


def main() -> None:
    """Run both builds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default="2161539", help="the commit to compare with")
    parser.add_argument("--steps", nargs="+", type=int, default=[200, 500])
    arguments = parser.parse_args()
    packed = subprocess.run(
        ["git", "archive", arguments.against, "tinygrad_rnn"], cwd=ROOT, capture_output=True, check=True
    )
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
        print("steps  rules  then s   now s  ratio  verdicts")
        for steps in arguments.steps:
            for name, factor in (("right", 1.0), ("wrong", 1 + 1e-9)):
                then, now = timed(Path(folder), steps, factor), timed(ROOT, steps, factor)
                ratio = float(then[0]) / float(now[0])
                alike = f"{then[1]} and {now[1]}, {then[3]} and {now[3]} of {now[2]} comparisons wrong"
                print(
                    f"{steps:5}  {name}  {float(then[0]):6.1f}  {float(now[0]):6.2f}  {ratio:5.1f}  {alike}", flush=True
                )


if __name__ == "__main__":
    main()
