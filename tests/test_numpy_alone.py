"""The engine imports and runs with NumPy as its only package; what wants another one says which."""

from __future__ import annotations

import subprocess
import sys

ALONE = """
import sys, importlib.metadata
class Only:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in BLOCKED:
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
BLOCKED = {"numba", "llvmlite", "graphviz", "safetensors", "click", "rich", "matplotlib", "svglib", "resvg_py",
           "jinja2", "scipy_openblas32", "scipy", "threadpoolctl", "latex2mathml", "hypothesis", "torch"}
sys.meta_path.insert(0, Only())
import numpy as np
import tinygrad_rnn as tg
"""


def alone(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", ALONE + program], text=True, capture_output=True, timeout=120)


def test_training_graphs_and_forward_mode_need_numpy_only():
    done = alone("""
tg.manual_seed(0)
layer, head = tg.nn.LSTM(3, 4), tg.nn.Linear(4, 2)
adam = tg.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.05)
x = tg.tensor(np.random.default_rng(0).normal(size=(5, 2, 3)))
losses = []
for _ in range(20):
    out, _state = layer(x, lengths=[5, 3])
    loss = tg.nn.functional.cross_entropy(head(out[-1]), [0, 1])
    adam.zero_grad()
    loss.backward()
    adam.step()
    losses.append(loss.item())
assert losses[-1] < losses[0] / 2, losses
print(len(tg.Graph(head(layer(x)[0][-1]).sum())) > 50)
""")
    assert done.returncode == 0 and done.stdout.strip() == "True", done.stderr


def test_saving_without_its_package_says_which():
    done = alone("""
try:
    tg.save({"x": tg.ones(2)}, "x.safetensors")
except ImportError as error:
    print(error)
""")
    assert done.returncode == 0 and "safetensors" in done.stdout, done.stderr


def test_a_session_needs_numpy_only_and_its_views_say_what_they_need(tmp_path):
    done = alone(f"""
w = tg.tensor([1.0], requires_grad=True, name="w")
loss = (w * w).sum()
session = tg.viz.debug(loss)
print(session)
for view in (session.terminal, lambda: session.html({str(tmp_path / "page.html")!r}), lambda: tg.viz.render(loss).svg):
    try:
        view()
    except ImportError as error:
        print(error)
""")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0].startswith("Session at 0")
    assert said[1] == "the line debugger needs rich, which is not installed; pip install tinygrad_rnn"
    assert said[2] == said[3]  # the page begins with a picture
    assert said[3] == "a picture needs graphviz, which is not installed; pip install tinygrad_rnn"
