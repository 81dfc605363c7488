#!/usr/bin/env bash
# ReservoirPy runs a list of series, each from the same state, one after the other or in parallel; reset() sets a node's state
# to zero. NVAR, the next generation reservoir, keeps its window of past inputs beside its state. So each series of a list
# begins with the end of the one before, what it gives depends on the order (and on `workers`), and reset() leaves the window as
# it is. A good guess: as with a Reservoir, a series gives the same alone and in a list.
# In JAX the node of the same name gives zeros for whatever input: what is written with .at[...].set(...) is not kept.
#
# Seen with reservoirpy 0.4.2, numpy 2.2.6, jax 0.10.2: the first output of a second series holds the last two inputs of the first
# series, alone it holds 0, 0; the same after reset(). A Reservoir gives equal outputs in all cases.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check numpy==2.2.6 jax==0.10.2 reservoirpy==0.4.2
"$work/venv/bin/python" - <<'PY'
from importlib.metadata import version

import numpy as np
import reservoirpy.jax.nodes
from reservoirpy.nodes import NVAR, Reservoir

first, second = np.array([[0.1], [0.2], [0.3]]), np.array([[1.0], [2.0], [3.0]])
for name, make in (("Reservoir", lambda: Reservoir(5, input_connectivity=1.0, rc_connectivity=1.0, seed=1)), ("NVAR", lambda: NVAR(delay=3, order=2))):
    alone = make().run(second)
    node = make()
    listed = node.run([first, second])[1]
    node.reset()
    again = node.run(second)
    print(f"reservoirpy {version('reservoirpy')} {name}: a second series alone begins with {np.round(alone[0, :3], 2)}, in a list with "
          f"{np.round(listed[0, :3], 2)}, after reset() with {np.round(again[0, :3], 2)}")
    assert (np.array_equal(alone, listed) and np.array_equal(alone, again)) == (name == "Reservoir"), "this has changed"
assert listed[0, :3].tolist() == [1.0, 0.3, 0.2] and again[0, :3].tolist() == [1.0, 3.0, 2.0], "this has changed"
largest = float(np.abs(np.asarray(reservoirpy.jax.nodes.NVAR(delay=3, order=2).run(second))).max())
print(f"in JAX the largest of NVAR's outputs is {largest}")
assert largest == 0, "this has changed"
print("so NVAR's features depend on what was run before")
PY
