"""Real-time recurrent learning beside backpropagation through time: one gradient, from the past and from the future.

    python examples/rtrl.py [--steps 6] [--hidden 3]

RTRL carries the Jacobian of the state in the weights along with the state (R. J. Williams and D. Zipser 1989, Neural
Computation 1(2), 270-280): it needs no memory of the past, but a column for every weight. Here one forward-mode product
(`tg.jvp`) of one time step moves one column on: ``J[t] = (∂h[t]/∂h[t-1]) J[t-1] + ∂h[t]/∂W``.
"""

import argparse

import numpy as np

import tinygrad_rnn as tg


def step(x, h, w):
    """The state after one time step."""
    return (x @ w[:2] + h @ w[2:]).tanh()


def bptt(xs, w):
    """The gradient of the sum of all squared states, walked back from the end."""
    w = tg.tensor(w, requires_grad=True, name="W")
    h, loss = tg.zeros(w.shape[1], dtype=np.float64), 0.0
    for t in tg.steps(len(xs)):
        h = step(tg.tensor(xs[t]), h, w)
        loss = loss + h.square().sum()
    (g,) = tg.grad(loss, w)
    return g.numpy()


def rtrl(xs, w):
    """The same gradient, complete after every time step, without looking back."""
    h, columns, gradient = np.zeros(w.shape[1]), np.zeros((w.size, w.shape[1])), np.zeros(w.size)
    for x in xs:
        moved = []
        for k, column in enumerate(columns):
            direction = np.eye(1, w.size, k).reshape(w.shape)
            state, along = tg.jvp(
                lambda h, w, x=x: step(tg.tensor(x), h, w),
                (tg.tensor(h), tg.tensor(w)),
                (tg.tensor(column), tg.tensor(direction)),
            )
            moved.append(along.numpy())
        h, columns = state.numpy(), np.array(moved)
        gradient += columns @ (2 * h)
    return gradient.reshape(w.shape)


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.steps < 1 or arguments.hidden < 1:
        parser.error("--steps and --hidden are at least 1")
    rng = np.random.default_rng(0)
    xs = rng.standard_normal((arguments.steps, 2))
    w = rng.uniform(-1, 1, (2 + arguments.hidden, arguments.hidden))
    back, ahead = bptt(xs, w), rtrl(xs, w)
    print("backpropagation through time:", back, "real-time recurrent learning:", ahead, sep="\n")
    print(f"largest difference: {np.abs(back - ahead).max():.1e}")


if __name__ == "__main__":
    main()
