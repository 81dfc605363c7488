"""Wrong backward passes of `torch.autograd.Function`s in recurrent networks, as `from_torch` brings them in."""

import numpy as np
import pytest

import tinygrad_rnn as tg
from tinygrad_rnn import interchange

torch = pytest.importorskip("torch")


class Swish(torch.autograd.Function):
    """A nonlinearity."""

    @staticmethod
    def forward(ctx, a):
        s = torch.sigmoid(a)
        ctx.save_for_backward(a, s)
        return a * s

    @staticmethod
    def backward(ctx, g):
        a, s = ctx.saved_tensors
        return g * (s + a * (1 - s))  # a s (1 - s) belongs


class Gated(torch.autograd.Function):
    """A cell in one."""

    @staticmethod
    def forward(ctx, x, h, W, U):
        z = torch.sigmoid(x @ W + h @ U)
        n = torch.tanh(x @ W - h @ U)
        ctx.save_for_backward(x, h, W, U, z, n)
        return z * h + (1 - z) * n

    @staticmethod
    def backward(ctx, g):
        x, h, W, U, z, n = ctx.saved_tensors
        dz = g * (h - n) * z * (1 - z)
        dn = g * z * (1 - n * n)  # 1 - z belongs
        da, db = dz + dn, dz - dn
        return da @ W.T, db @ U.T + g * z, x.T @ da, h.T @ db


class Loop(torch.autograd.Function):
    """All time steps in one; what is saved is saved by a function of its own."""

    @staticmethod
    def forward(x, start, W, U):
        h, hs = start, [start]
        for t in range(x.shape[0]):
            h = torch.tanh(x[t] @ W + h @ U)
            hs.append(h)
        return torch.stack(hs)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, _, W, U = inputs
        ctx.save_for_backward(x, W, U, output)

    @staticmethod
    def backward(ctx, g):
        x, W, U, hs = ctx.saved_tensors
        dW, dU, dx, dh = torch.zeros_like(W), torch.zeros_like(U), torch.zeros_like(x), torch.zeros_like(hs[0])
        for t in reversed(range(x.shape[0])):
            da = (dh + g[t + 1]) * (1 - hs[t + 1] ** 2)
            dW = dW + x[t].T @ da
            dU = dU + hs[t + 1].T @ da  # hs[t] belongs
            dx[t] = da @ W.T
            dh = da @ U.T
        return dx, dh + g[0], dW, dU


class Network(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        rng = np.random.default_rng(0)
        self.W, self.U = (torch.nn.Parameter(torch.from_numpy(rng.normal(size=(2, 2)))) for _ in range(2))
        self.kind = kind

    def forward(self, x):
        h = torch.zeros(2, 2, dtype=x.dtype)
        if self.kind is Loop:
            return Loop.apply(x, h, self.W, self.U)[-1]
        for t in range(x.shape[0]):
            h = Swish.apply(x[t] @ self.W + h @ self.U) if self.kind is Swish else Gated.apply(x[t], h, self.W, self.U)
        return h


@pytest.mark.parametrize(
    "kind, says",
    [
        (Swish, "in the backward pass of Swish: Once, at s the derivative of sigmoid is taken to be 1 − y"),
        (Gated, "what n receives from (1 − z) ⊙ n has the factor 1 − (1 − z) instead of it"),
        (Loop, "in the backward pass of Loop: At every step, what U receives from h @ U uses h of the step after"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_mistake_in_an_imported_function_is_named_by_its_own_variables(kind, says):
    x = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 2, 2)))
    network = Network(kind)
    report = tg.check_gradients(interchange.from_torch(network, x)(x.numpy()).sum(), raise_exception=False)
    assert report.verdict == "failed" and says in report.diagnosis, report
