"""Vanishing and exploding, exactly: what the largest singular value of W decides, and what its spectral radius.

One step back multiplies the gradient by diag(1 - h_t^2) W_hh. With the largest singular value sigma of W_hh below 1 the
gradient vanishes, whatever the states are: the slope 1 - h^2 of tanh is below 1 everywhere but at 0, where it is 1.
sigma above 1 is only necessary for exploding. In a *linear* recurrence h_t = W h_(t-1) the product of the Jacobians is
a power of W, and in the long run its spectral radius rho is the factor a step: a W that is not normal can have
sigma = 2.3 and rho = 0.9, there the gradient grows at first and vanishes all the same. With tanh rho decides nothing:
W = 2 [[1, -1], [1, -1]] has rho = 0, its square is 0. Where the second unit is saturated the Jacobian is
[[2, -2], [0, 0]], and the product of thirty of them is [[2^30, -2^30], [0, 0]].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lab import BOUND, LINES, command, gradients, norms, panels, table

import tinygrad_rnn as tg
from tinygrad_rnn import viz
from tinygrad_rnn.sequence_patterns import build

STEPS = 60


def backwards(w: Any, g: Any, steps: int = STEPS) -> list[Any]:
    """The gradient of <g, h_T> at h_T, h_(T-1), ... h_0, for h_t = W h_(t-1)."""
    weight = tg.tensor(w, requires_grad=True)
    states = [tg.tensor(np.ones((1, len(w))), requires_grad=True)]
    for _ in tg.steps(steps):
        states.append(states[-1] @ weight.T)
    return [gradient[0] for gradient in gradients(states[-1], g, states)][::-1]


def orthogonal(size: int, scale: float, rng: np.random.Generator) -> Any:
    """A random orthogonal matrix, times ``scale``: all its singular values, and the sizes of its eigenvalues."""
    return scale * np.linalg.qr(rng.normal(size=(size, size)))[0]


def not_normal(sigma: float = 2.3, rho: float = 0.9) -> Any:
    """[[rho, a], [0, rho]] whose largest singular value is sigma; the product of the two is rho^2."""
    return np.array([[rho, np.sqrt(sigma**2 + (rho**2 / sigma) ** 2 - 2 * rho**2)], [0, rho]])


def powers_error(rng: np.random.Generator) -> float:
    """The largest relative difference between the gradient and (W^T)^k g."""
    w, g = rng.normal(size=(8, 8)) / 3, rng.normal(size=8)
    exact = [np.linalg.matrix_power(w.T, k) @ g for k in range(STEPS + 1)]
    return float(max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(backwards(w, g), exact)))


def spectral_radius(w: Any) -> float:
    """The size of the largest eigenvalue."""
    return float(np.abs(np.linalg.eigvals(w)).max())


def rates(rng: np.random.Generator, count: int = 12, steps: int = 300) -> list[tuple[float, float, float]]:
    """(sigma, rho, factor a step that is left in the end) of random matrices."""
    found = []
    for rho in np.linspace(0.85, 1.15, count):
        w = rng.normal(size=(16, 16))
        w *= rho / spectral_radius(w)
        lengths = norms(backwards(w, rng.normal(size=16), steps))
        found.append(
            (float(np.linalg.norm(w, 2)), float(rho), float((lengths[-1] / lengths[100]) ** (1 / (steps - 100))))
        )
    return found


def tanh_flow(rng: np.random.Generator) -> Any:
    """The measured flow of a tanh network whose W has sigma = 1.5."""
    tg.manual_seed(int(rng.integers(1000)))
    layer = tg.nn.RNN(4, 4, dtype=np.float64)
    w = rng.normal(size=(4, 4))
    layer.weight_hh_l0.data = w * (1.5 / np.linalg.norm(w, 2))
    output, _ = layer(rng.normal(size=(STEPS, 1, 4)))
    return viz.flow(output[-1].sum(), panels=("norms", "jacobians", "products")).layers[0]


def nilpotent() -> Any:
    """2 [[1, -1], [1, -1]]: its square is 0, so both eigenvalues are."""
    return 2.0 * np.array([[1.0, -1.0], [1.0, -1.0]])


def saturated_product(steps: int = 30) -> Any:
    """dh_T/dh_0 of a tanh network with that W, its first unit held at 0 and its second at 1 by the input."""
    weight, h = tg.tensor(nilpotent()), tg.tensor(np.array([[0.0, 1.0]]), requires_grad=True)
    states = [h]
    for _ in tg.steps(steps):
        # W h is (-2, -2): the input makes it 0 for the first unit, and 40 for the second, whose tanh rounds to 1
        states.append((states[-1] @ weight.T + np.array([[2.0, 42.0]])).tanh())
    return np.concatenate([tg.grad(states[-1][:, i].sum(), h, retain_graph=True)[0].numpy() for i in range(2)])


def main(out: Path = Path("out")) -> dict[str, Any]:
    """Measure, draw, and return the figures that the statements above are about."""
    rng = np.random.default_rng(0)
    g = rng.normal(size=8)
    scaled = {s: norms(backwards(orthogonal(8, s, rng), g)) for s in (0.9, 1.0, 1.1)}
    w = not_normal()
    grown = norms(backwards(w, np.array([1.0, 0.0])))
    random, tanh, saturated = rates(rng), tanh_flow(rng), saturated_product()
    found = {
        "linear: largest difference between the gradient and (W^T)^k g": powers_error(rng),
        "W = s · orthogonal: largest difference of a step's factor from s": max(
            float(np.abs(x[1:] / x[:-1] / s - 1).max()) for s, x in scaled.items()
        ),
        "W not normal: largest singular value": float(np.linalg.norm(w, 2)),
        "W not normal: spectral radius": spectral_radius(w),
        "W not normal: gradient, at its longest": float(grown.max()),
        f"W not normal: gradient, {STEPS} steps back": float(grown[-1]),
        "rates": random,
        "tanh, W = 2 [[1, −1], [1, −1]]: spectral radius of W": spectral_radius(nilpotent()),
        "tanh, W = 2 [[1, −1], [1, −1]]: norm of dh_30/dh_0, second unit saturated": float(
            np.linalg.norm(saturated, 2)
        ),
        "tanh: largest singular value of a step, relative to max(1 − h²) ‖W‖": max(
            tanh.spectra[t][0] / bound for t, bound in tanh.bounds.items()
        ),
        "tanh: smallest max(1 − h²) ‖W‖ of a step, where ‖W‖ = 1.5": min(tanh.bounds.values()),
    }
    table(["measured", ""], ((name, value) for name, value in found.items() if isinstance(value, float)))
    lags = np.arange(STEPS + 1)
    with panels(out / "vanishing.svg", 3, 2) as (first, second, third, fourth, fifth, sixth):
        for (s, lengths), look in zip(scaled.items(), LINES):
            first.plot(lags, lengths / lengths[0], label=f"s = {s}", **look)
        first.set(yscale="log", title="linear, W = s · orthogonal:\nsᵏ exactly", xlabel="steps back k")
        second.plot(lags, grown, label=r"$\|(W^T)^k g\|$", **LINES[0])
        worst = [np.linalg.norm(np.linalg.matrix_power(w, int(k)), 2) for k in lags]
        second.plot(lags, worst, label="worst case ‖Wᵏ‖", color=LINES[1]["color"], linewidth=5, alpha=0.4)
        second.plot(lags, 2.3**lags, label="bound ‖W‖ᵏ", **BOUND)
        second.plot(lags, 0.9**lags, label=r"$\rho(W)^k$", **{**BOUND, "linestyle": ":"})
        second.set(yscale="log", ylim=(1e-3, 1e3), xlabel="steps back k")
        second.set_title("linear, ‖W‖ = 2.3, ρ = 0.9, not normal:\ngrows first, then vanishes")
        sigma, rho, rate = np.array(random).T
        third.plot(rho, rate, "o", color=LINES[0]["color"], label="against ρ(W)")
        third.plot(sigma, rate, "s", color=LINES[1]["color"], label="against ‖W‖")
        third.plot([0.8, 2], [0.8, 2], label="equal", **BOUND)
        third.axvline(1, color="#8c8c8c", linewidth=0.8)
        third.set(xlabel="ρ or ‖W‖", ylabel="factor a step, in the end", ylim=(0.8, 1.3))
        third.set_title("linear, random W: ρ decides,\n‖W‖ > 1 does not mean exploding")
        times = sorted(tanh.bounds)
        fourth.plot(
            times, [tanh.spectra[t][0] for t in times], label=r"$\|\partial h_t/\partial h_{t-1}\|$", **LINES[2]
        )
        fourth.plot(times, [tanh.bounds[t] for t in times], label=r"$\max(1-h_t^2)\,\|W\|$", **BOUND)
        fourth.axhline(1.5, color="#8c8c8c", linewidth=0.8)
        fourth.text(times[0], 1.51, "‖W‖", color="#595959", va="bottom")
        fourth.set(xlabel="time step t", ylim=(0, 1.7), title="tanh: the slope\ntakes part of ‖W‖ away")
        products = [np.linalg.norm(saturated_product(int(k)), 2) for k in lags[1:31]]
        powers = [np.linalg.norm(np.linalg.matrix_power(nilpotent(), int(k)), 2) for k in lags[1:31]]
        assert not any(powers[1:])
        fifth.plot(lags[1:31], products, label=r"tanh, second unit saturated", **LINES[3])
        fifth.plot(
            lags[1:2], powers[:1], label="linear: 4 at k = 1, exactly 0 from k = 2 on", **{**LINES[0], "markevery": 1}
        )
        fifth.set(yscale="log", xlabel="steps back k", ylabel=r"$\|\partial h_T/\partial h_{T-k}\|$")
        fifth.set_title("W = 2 [[1, −1], [1, −1]], ρ = 0:\nwith tanh ρ decides nothing")
        grid = np.linspace(-3, 3, 200)
        sixth.plot(grid, np.tanh(grid), label="tanh a", color=LINES[0]["color"])
        sixth.plot(grid, 1 - np.tanh(grid) ** 2, label="its slope, 1 − tanh² a", color=LINES[1]["color"])
        sixth.axhline(1, **BOUND)
        sixth.set(xlabel="a", title="the slope of tanh is below 1\neverywhere but at 0")
        for axes in (first, second, third, fourth, fifth, sixth):
            axes.legend(fontsize=8)
    viz.debug(build("many-to-one", "rnn", 20)).html(out / "vanishing.html", title="tanh, one loss after 20 steps")
    return found


if __name__ == "__main__":
    command(main)
