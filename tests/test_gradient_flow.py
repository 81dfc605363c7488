"""The theory of gradient flow, as the experiments measure it: each statement exactly, or with its seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_rnn as tg

EXPERIMENTS = Path(__file__).parent.parent / "examples" / "gradient_flow"


# Vanishing and exploding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_gradient_of_a_linear_recurrence_is_a_power_of_w(seed: int, experiment: Callable[[str], Any]) -> None:
    assert experiment("vanishing").powers_error(np.random.default_rng(seed)) < 1e-12


@pytest.mark.parametrize("scale", [0.9, 1.0, 1.1])
def test_scaled_orthogonal_w_changes_the_length_by_its_scale(scale: float, experiment: Callable[[str], Any]) -> None:
    module, rng = experiment("vanishing"), np.random.default_rng(3)
    lengths = np.linalg.norm(module.backwards(module.orthogonal(8, scale, rng), rng.normal(size=8)), axis=1)
    np.testing.assert_allclose(lengths[1:] / lengths[:-1], scale, rtol=1e-12)


def test_a_w_that_is_not_normal_grows_first_and_vanishes_then(experiment: Callable[[str], Any]) -> None:
    module = experiment("vanishing")
    w = module.not_normal()
    assert np.linalg.norm(w, 2) == pytest.approx(2.3, rel=1e-12)
    assert module.spectral_radius(w) == pytest.approx(0.9, rel=1e-12)
    lengths = np.linalg.norm(module.backwards(w, [1.0, 0.0], 300), axis=1)
    assert lengths.max() > 7 and np.argmax(lengths) in range(5, 15)
    assert lengths[-1] < 1e-9
    worst = [np.linalg.norm(np.linalg.matrix_power(w, k), 2) for k in range(301)]
    assert (lengths <= np.array(worst) * (1 + 1e-12)).all()


def test_in_the_end_the_spectral_radius_is_the_rate(experiment: Callable[[str], Any]) -> None:
    found = experiment("vanishing").rates(np.random.default_rng(0), count=6)
    for sigma, rho, rate in found:
        assert rate == pytest.approx(rho, rel=0.01)
        assert sigma > rho
    assert any(sigma > 1 and rate < 1 for sigma, _, rate in found), "above 1 is not enough to explode"


@pytest.mark.parametrize("seed", range(3))
def test_a_step_of_tanh_stays_below_slope_times_sigma(seed: int, experiment: Callable[[str], Any]) -> None:
    layer = experiment("vanishing").tanh_flow(np.random.default_rng(seed))
    assert layer.bounds.keys() == layer.spectra.keys() and len(layer.bounds) == 59
    for t, bound in layer.bounds.items():
        assert layer.spectra[t][0] <= bound * (1 + 1e-12) and bound <= 1.5 * (1 + 1e-12)
    for t, bound in layer.product_bounds.items():
        assert layer.products[t] <= bound * (1 + 1e-9)


def test_with_tanh_the_spectral_radius_decides_nothing(experiment: Callable[[str], Any]) -> None:
    module = experiment("vanishing")
    assert module.spectral_radius(module.nilpotent()) < 1e-7 and not (module.nilpotent() @ module.nilpotent()).any()
    np.testing.assert_array_equal(module.saturated_product(30), [[2.0**30, -(2.0**30)], [0, 0]])


# Clipping ----------------------------------------------------------------------------------------------------


def test_clipping_by_norm_keeps_the_direction_and_by_value_does_not(experiment: Callable[[str], Any]) -> None:
    by_norm, by_value = experiment("clipping").directions()
    assert by_norm == pytest.approx(1, abs=1e-12)
    assert by_value < 0.9


def test_relu_with_radius_over_one_diverges_unless_clipped(experiment: Callable[[str], Any]) -> None:
    module = experiment("clipping")
    assert not any(np.isfinite(losses[-1]) for losses in module.runs(4, None, 8))
    for threshold in (1.0, 10.0):
        assert np.isfinite(module.runs(3, threshold, 8)).all()


def test_the_cliff_throws_a_step_away_unless_it_is_clipped(experiment: Callable[[str], Any], tmp_path: Path) -> None:
    found = experiment("cliff").main(tmp_path, points=40)
    assert found["longest step without clipping"] > 1
    assert found["longest step norm clipped at 0.1"] <= 0.1 * 0.1 * (1 + 1e-6)
    assert found["steepest"] > 50 * found["median"]
    assert "</svg>" in (tmp_path / "cliff.svg").read_text(encoding="utf-8")


# Gates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_along_the_cell_the_gradient_is_multiplied_by_the_gate(seed: int, experiment: Callable[[str], Any]) -> None:
    module = experiment("highway")
    assert module.lstm_without_h(seed)
    assert module.gru_without_gates(seed)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_more_flows_beside_the_gate_the_larger_the_weights(kind: str, experiment: Callable[[str], Any]) -> None:
    module = experiment("highway")
    beside = [module.ways(kind, scale)[1] for scale in (0.0, 0.5, 2.0)]
    assert beside[0] == 0 and 0.02 < beside[1] < beside[2]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_an_open_gate_keeps_the_bits(kind: str, experiment: Callable[[str], Any]) -> None:
    module = experiment("memory")
    assert module.keeps(kind, 10_000)
    assert module.keeps_the_gradient(kind, 200)


@pytest.mark.parametrize("bias", [0.0, 1.0, 3.0, 5.0])
@pytest.mark.parametrize("make", ["cell", "gru"])
def test_a_constant_gate_leaves_its_power(make: str, bias: float, experiment: Callable[[str], Any]) -> None:
    module = experiment("memory")
    left = module.decay(getattr(module, make)(bias, weights=0.0))
    np.testing.assert_allclose(left, module.sigmoid(bias) ** np.arange(101), rtol=1e-12)


@pytest.mark.parametrize("make", ["cell", "gru"])
def test_a_fresh_gated_network_can_vanish(make: str, experiment: Callable[[str], Any]) -> None:
    module = experiment("memory")
    for seed in range(3):
        tg.manual_seed(seed)
        assert module.decay(getattr(module, make)(0.0))[-1] < 1e-15


def test_architectures_differ_by_their_gates(experiment: Callable[[str], Any]) -> None:
    import viz

    found = viz.flow(experiment("architectures").networks(steps=60), panels=("norms",))
    left = {layer.network: layer.norms["h"][1] / layer.norms["h"][60] for layer in found.layers}
    assert left["LSTM, forget bias 5"] > 0.1
    assert max(left[name] for name in ("RNN", "GRU", "LSTM")) < 1e-8


# Trade-offs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_one_model_of_one_size_reads_any_length_and_the_graph_grows_linearly(
    kind: str, experiment: Callable[[str], Any]
) -> None:
    module = experiment("tradeoffs")
    lengths = (1, 2, 3, 50, 51)
    parameters, nodes = module.sizes(module.layer(kind), lengths)
    assert len(parameters) == 1
    step = nodes[2] - nodes[1]
    assert nodes == [nodes[1] + step * (length - 2) for length in lengths]


def test_truncation_loses_less_the_wider_its_window(experiment: Callable[[str], Any]) -> None:
    module = experiment("truncated")
    for make in (module.NETWORKS["tanh, W = orthogonal"], module.NETWORKS["LSTM, forget bias 3"]):
        bias = module.biases(make, windows=(1, 8, 48, 96), seeds=1)
        assert bias[0] > bias[1] > bias[2] > bias[3] == 0
    short, long = "tanh, W = 0.7 · orthogonal", "LSTM, forget bias 3"
    (little,), (much,) = (module.biases(module.NETWORKS[name], (12,), 1) for name in (short, long))
    assert much > 2 * little  # what remembers longer needs a wider window
