"""Programs from elsewhere on the command line and in one's own tests; the smallest one that is still wrong."""

import contextlib
import importlib
import runpy
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import tinygrad_rnn as tg
from tinygrad_rnn.cli import main
from tinygrad_rnn.testing import assert_gradients, smallest

with contextlib.suppress(ImportError):
    importlib.import_module("jax.numpy").zeros(1)  # what JAX sets when it begins, it sets before the first test

WRONG_IN_TORCH = """
import torch
torch.manual_seed(0)

class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x
    @staticmethod
    def backward(ctx, g):
        return g * 3.0 * ctx.saved_tensors[0]

class Net(torch.nn.Module):
    def __init__(self, square):
        super().__init__()
        self.cell = torch.nn.RNNCell(3, 4, dtype=torch.float64)
        self.square = square
    def forward(self, x):
        h = x.new_zeros(x.shape[1], 4)
        for t in range(x.shape[0]):
            h = self.cell(x[t], h)
        return self.square(h).sum()

right, wrong = Net(lambda h: h * h), Net(Square.apply)
x = torch.randn(4, 3, 3, dtype=torch.float64)

def loss():
    return right(x)

def wrong_loss():
    return wrong(x)

def wrong_loss_of(x=x):
    return wrong(x)
"""

IN_JAX = """
import jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)
p = {"w": jnp.array([[0.5, -0.3], [0.2, 0.1]]), "b": jnp.array([0.1, 0.2])}
x = jnp.array([[1.0, 2.0], [0.3, -1.0]])

@jax.jit
def loss():
    step = lambda h, xt: (jnp.tanh(p["w"] @ h + p["b"] + xt), None)
    return (jax.lax.scan(step, jnp.zeros(2), x)[0] ** 2).sum()
"""


def run(*args):
    result = CliRunner().invoke(main, [str(a) for a in args])
    return result.exit_code, result.output


def test_check_of_a_pytorch_loss(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is not installed (pip install '.[torch]')")
    script = tmp_path / "train.py"
    script.write_text(WRONG_IN_TORCH)
    code, output = run("check", f"{script}:loss")
    assert code == 0 and "gradient check passed" in output and "over 4 time steps" in output
    code, output = run("check", f"{script}:wrong_loss")
    assert code == 1 and "first wrong in Square (at train.py:23)" in output
    assert "wrong_loss takes its data itself: as def wrong_loss(x=x)" in output
    monkeypatch.chdir(tmp_path)
    code, output = run("check", f"{script}:wrong_loss_of")
    assert code == 1 and "[0] (1, 1, 3); run train_wrong_loss_of_smallest.py" in output
    assert "runpy.run_path" in (tmp_path / "train_wrong_loss_of_smallest.py").read_text()


def test_check_of_a_jax_loss(tmp_path):
    pytest.importorskip("jax", reason="JAX is not installed (pip install '.[jax]')")
    script = tmp_path / "train.py"
    script.write_text(IN_JAX)
    code, output = run("check", f"{script}:loss")
    assert code == 0 and "gradient check passed" in output and "of 4 tensors over 2 time steps" in output


WRONG_IN_JAX = """
import jax, jax.numpy as jnp
jax.config.update("jax_enable_x64", True)

@jax.custom_jvp
def double(x):
    return x * 2

double.defjvp(lambda primals, tangents: (double(*primals), tangents[0] * 3))

def loss(p={"w": 0.3 * jnp.ones((1, 1))}, x=jnp.ones((2, 1))):
    step = lambda h, xt: (jnp.tanh(double(h @ p["w"]) + xt), None)
    return (jax.lax.scan(step, jnp.zeros_like(x[0]), x)[0] ** 2).sum()
"""


def test_the_smallest_jax_loss_that_is_wrong(tmp_path, monkeypatch, capsys):
    pytest.importorskip("jax", reason="JAX is not installed (pip install '.[jax]')")
    script = tmp_path / "train.py"
    script.write_text(WRONG_IN_JAX)
    monkeypatch.chdir(tmp_path)
    code, output = run("check", f"{script}:loss")
    assert code == 1 and "first wrong in double" in output, output
    assert "(1, 1)" in output and "run train_loss_smallest.py" in output, output
    runpy.run_path("train_loss_smallest.py")
    shown = capsys.readouterr().out
    assert "gradient check failed" in shown and "double" in shown


def test_debug_of_an_onnx_model(tmp_path):
    onnx = pytest.importorskip("onnx", reason="ONNX is not installed (pip install '.[onnx]')")
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
    small (float[T, 2] x, int64[T] at) => (float[T, 2] y, float[T, 2] z, int64[K] size) {
      y = Mul(x, w)  picked = Gather(x, at)  z = Tanh(picked)  size = Shape(x)
    }""")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2, 3], np.float32), "w"))
    file, inputs, script = tmp_path / "model.onnx", tmp_path / "x.npz", tmp_path / "own.py"
    onnx.save(model, file)
    np.savez(inputs, x=np.ones((4, 2), np.float32), at=np.array([0, 1, 0, 1]))
    script.write_text("def half(y):\n    return (y * 0.5).sum()\n")
    code, output = run("debug", file, "-c", "quit")
    assert code == 0 and "input x (T, 2) is random numbers of shape (3, 2)" in output
    assert "input at (T) is ones of shape (3,)" in output and "the loss is of the output 'y'" in output
    code, output = run("debug", file, "--inputs", inputs, "--output", "z", "-c", "quit")
    assert code == 0 and "note" not in output
    page = tmp_path / "page.html"
    code, output = run("debug", file, "--inputs", inputs, "--output", "y", "--loss", f"{script}:half", "--html", page)
    assert code == 0 and "model.onnx:1" in page.read_text()
    for extra, said in (
        (["--output", "size"], "no output 'size' that gradients flow back from; it has y, z"),
        (["--inputs", script], "cannot be read as .npz"),
        (["--loss", f"{script}:nothing"], "defines no function 'nothing'"),
    ):
        code, output = run("debug", file, *extra, "-c", "quit")
        assert code and said in output, output
    np.savez(inputs, x=np.ones((4, 2), np.float32))
    assert "has no at; it needs an array for each of x, at" in run("debug", file, "--inputs", inputs)[1]
    assert "are for an ONNX model" in run("debug", "--loss", "sum")[1]


def test_one_line_in_ones_own_tests(tmp_path):
    """A right module passes; a wrong one is named, made smaller, and saved as a script that shows it again."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install '.[torch]')")
    script = tmp_path / "net.py"
    script.write_text(WRONG_IN_TORCH)
    space = {"__file__": str(script), "__name__": "net"}
    exec(compile(WRONG_IN_TORCH, str(script), "exec"), space)
    x = torch.randn(4, 3, 3, dtype=torch.float64)
    assert assert_gradients(space["right"], x).verdict == "passed"
    space |= {"assert_gradients": assert_gradients, "x": x, "repro": tmp_path / "repro.py"}
    with pytest.raises(tg.check.GradientError, match="first wrong in Square") as error:
        exec("assert_gradients(wrong, x, reproducer=repro)", space)
    assert "the smallest that is still wrong" in str(error.value) and "[0] (1, 1, 1)" in str(error.value)
    shown = subprocess.run([sys.executable, tmp_path / "repro.py"], capture_output=True, text=True, timeout=300)
    assert shown.returncode == 0, shown.stderr
    assert "gradient check failed" in shown.stdout and "Square" in shown.stdout


def test_ours_and_jaxs_functions():
    assert assert_gradients(lambda x, w: (x @ w).tanh().sum(), (np.ones((2, 3)), np.ones((3, 1))))
    jax = pytest.importorskip("jax", reason="JAX is not installed (pip install '.[jax]')")
    jnp = jax.numpy

    @jax.custom_jvp
    def double(x):
        return x * 2

    double.defjvp(lambda primals, tangents: (double(*primals), tangents[0] * 3))
    p = {"w": jnp.ones((2, 2))}
    assert assert_gradients(lambda p, x: jnp.sin(p["w"] @ x).sum(), (p, jnp.ones(2)))
    with pytest.raises(tg.check.GradientError, match="first wrong in double"):
        assert_gradients(lambda p, x: jnp.sin(double(p["w"]) @ x).sum(), (p, jnp.ones(2)))


def test_the_smallest_keeps_what_belongs_together():
    """Gates side by side are cut block by block; what raises an error, or is right, is not taken."""
    arrays = {"x": np.arange(30.0).reshape(5, 2, 3), "w": np.arange(84.0).reshape(12, 7), "ids": np.arange(5)}

    def wrong(a):
        gates = a["w"].reshape(4, -1, 7)
        assert gates.shape[1] == a["x"].shape[2] and len(a["ids"]) == len(a["x"])
        return len(a["ids"]) >= 2 and (gates[:, 0] == arrays["w"].reshape(4, 3, 7)[:, 0]).all()

    small = smallest(arrays, wrong)
    assert {name: a.shape for name, a in small.items()} == {"x": (2, 1, 1), "w": (4, 7), "ids": (2,)}
