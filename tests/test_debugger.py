"""The recorded walk and the session over it: what they show is what backward does, at every moment, bit for bit."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from debugger_networks import NETWORKS, spelling

import tinygrad_rnn as tg
import viz
from tinygrad_rnn import nn
from tinygrad_rnn.bptt import carried_state
from tinygrad_rnn.kept_walk import Sent, WalkStep
from viz.debugger import Session, Trace, record, session_data


@pytest.fixture(params=NETWORKS)
def loss(request) -> tg.Tensor:
    return NETWORKS[request.param]()


def leaves(loss: tg.Tensor) -> dict[int, tg.Tensor]:
    """{node: the leaf tensor that receives its gradient}"""
    position = tg.Graph(loss).by_serial()
    nodes = [step.node for step in tg.walk([loss], [np.ones(loss.shape, loss.dtype)])]
    return {position[x.serial]: x for x in nodes if x.op is None}


# The walk ----------------------------------------------------------------------------------------------------


def test_the_sum_of_all_contributions_is_grad_bit_for_bit(loss):
    trace = record(loss)
    found = leaves(loss)
    loss.backward()
    assert found
    for node, leaf in found.items():
        assert trace.summed(node, len(trace.arrivals[node])).tobytes() == leaf.grad.numpy().tobytes()
        assert trace.gradient(node).tobytes() == leaf.grad.numpy().tobytes()


def test_every_partial_gradient_is_an_independent_partial_sum(loss):
    session = viz.debug(loss)
    position = session.graph.by_serial()
    sums: dict[int, np.ndarray] = {session.trace.output: np.ones(loss.shape)}
    counts: dict[int, int] = {session.trace.output: 1}
    for k, step in enumerate(tg.walk([loss], [np.ones(loss.shape, loss.dtype)]), 1):
        for sent in step.contributions:
            target = position[sent.target.serial]
            sums[target] = sums.get(target, 0.0) + np.asarray(sent.value, np.float64)
            counts[target] = counts.get(target, 0) + 1
        touched = {position[sent.target.serial] for sent in step.contributions}
        for node in touched | set(range(k % 7, len(session.graph), 7)):
            shown = session.gradient(node, k)
            assert session.arrived(node, k)[0] == counts.get(node, 0)
            if node not in sums:
                assert shown is None, "a gradient not reached yet is not shown"
            else:
                np.testing.assert_allclose(shown, sums[node], rtol=3e-5, atol=1e-6)
    assert k == len(session.trace)


def test_recording_changes_nothing():
    loss, again = spelling(), spelling()
    found = leaves(loss)
    record(loss)
    assert all(leaf.grad is None for leaf in found.values())
    loss.backward()
    record_free = list(leaves(again).values())
    again.backward()
    for leaf, other in zip(found.values(), record_free, strict=True):
        assert leaf.grad.numpy().tobytes() == other.grad.numpy().tobytes()


def test_a_trace_holds_no_more_arrays_than_the_walk_made(loss):
    walked = list(tg.walk([loss], [np.ones(loss.shape, loss.dtype)]))
    made = {id(step.gradient): step.gradient.nbytes for step in walked}
    for step in walked:
        made |= {id(c._value): c._value.nbytes for c in step.contributions if c._value is not None}
    trace = record(loss)
    held = {id(step.gradient): step.gradient.nbytes for step in trace.steps}
    for step in trace.steps:
        held |= {id(c.value): c.value.nbytes for c in step.contributions if c.value is not None}
    assert sum(held.values()) == sum(made.values())


def test_stepping_anywhere_shows_the_same_as_walking_there():
    session = viz.debug(spelling())
    straight = [session.snapshot(p) for p in range(session.first, session.last + 1)]
    for p in (session.last, 3, -1, 40, 0, session.first, 39, 40):
        session.goto(p)
        assert session.snapshot() == straight[p - session.first]
    json.dumps(straight, allow_nan=False)


@pytest.mark.parametrize("every", [2, 3, 100])
def test_a_sample_of_time_steps_keeps_the_sums_bit_for_bit(loss, every):
    whole, sample = record(loss), record(loss, every=every)
    assert len(sample) < len(whole) or len(tg.Graph(loss).steps) < 3
    for step in sample.steps:
        assert step.gradient.tobytes() == whole.gradient(step.node).tobytes()
        assert sample.summed(step.node, len(sample.arrivals[step.node])).tobytes() == step.gradient.tobytes()
    session = Session(sample)
    for node in sample.graph.parameters:
        shares = [row.share for row in session.ledger(node.index, len(sample)).rows]
        assert sum(shares) == pytest.approx(1, abs=1e-4)


# What a session shows ----------------------------------------------------------------------------------------


def test_flows_count_arrivals_and_add_up(loss):
    session = viz.debug(loss)
    for p in range(1, session.last + 1):
        for flow in session.flows(p):
            assert (flow.before is None) == (flow.ordinal == 1)
            before = 0 if flow.before is None else flow.before
            np.testing.assert_allclose(flow.after, before + flow.contribution, rtol=1e-5, atol=1e-6)
            if flow.complete:
                np.testing.assert_array_equal(flow.after, session.trace.gradient(flow.target))


def test_the_frontier_is_a_partition(loss):
    session = viz.debug(loss)
    for p in range(session.last + 1):
        found = session.frontier(p)
        assert len(found.done) + len(found.ready) + len(found.waiting) + found.unreached == len(session.trace)
        assert all(row.arrived == row.expected for row in found.ready)
        assert all(0 < row.arrived < row.expected for row in found.waiting)
        if p < session.last:
            assert session.node_at(p + 1) in {row.node for row in found.ready}


def test_rules_multiply_out(loss):
    session = viz.debug(loss)
    seen = set()
    for p in range(1, session.last + 1):
        for rule in session.rules(p):
            seen.add(rule.kind)
            product = rule.contribution
            if rule.kind == "jacobian":
                product = (rule.upstream.ravel() @ rule.factor).reshape(rule.contribution.shape)
            elif rule.kind == "diagonal" and rule.contribution.shape == rule.upstream.shape:
                product = rule.upstream * rule.factor
            np.testing.assert_allclose(rule.contribution, product, rtol=1e-4, atol=1e-6)
            assert rule.formula and rule.latex
    assert {"diagonal", "jacobian"} <= seen


def test_every_step_passes_its_numerical_check(loss):
    session = viz.debug(loss)
    for p in range(1, session.last + 1):
        if session.graph.nodes[session.node_at(p)].op is not None:
            for result in session.check(p):
                assert result.passed, (session.where(p), result)


def test_the_numerical_check_notices_a_contribution_that_is_a_little_wrong():
    trace = record(spelling())
    for k in (2, 30, 40):
        wrong = list(trace.steps)
        first = wrong[k].contributions[0]
        scaled = Sent(first.slot, first.target, trace.contribution(k + 1, 0) * np.float32(1.001))
        wrong[k] = WalkStep(wrong[k].node, wrong[k].gradient, (scaled, *wrong[k].contributions[1:]))
        assert not Session(Trace(trace.graph, trace.seed, wrong)).check(k + 1)[0].passed


def test_a_function_that_takes_no_complex_numbers_is_checked_by_differences():
    class Positive(tg.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * (x > 0).to(x.dtype)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * (x > 0).to(x.dtype)

    w = tg.tensor([0.5, -2.0], requires_grad=True)
    session = viz.debug(Positive.apply(w).square().sum())
    results = [r for p in range(1, session.last + 1) for r in checked(session, p)]
    assert {r.method for r in results} == {"complex step", "five-point difference"} and all(r.passed for r in results)
    assert "five-point difference" in session.html()


def checked(session, p):
    return session.check(p) if session.graph.nodes[session.node_at(p)].op is not None else []


def test_the_ledger_has_a_row_a_time_step_and_its_shares_sum_to_one(loss):
    session = viz.debug(loss)
    for node in session.graph.parameters:
        found = session.ledger(node.index, session.last)
        gradient = session.gradient(node.index, session.last)
        assert sum(row.share for row in found.rows) == pytest.approx(1, abs=1e-5)
        assert found.rows[-1].running == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
        assert sum(row.uses for row in found.rows) == len(session.trace.arrivals[node.index])
        for row in session.ledger(node.index, 0).rows:
            assert row.norm is row.share is row.running is None


def test_a_ledger_row_is_the_gradient_of_an_untied_weight():
    tg.manual_seed(0)
    weights = [tg.tensor(np.eye(2) * 0.7 + 0.1, dtype="float64", requires_grad=True) for _ in range(4)]

    def run(pick) -> tg.Tensor:
        h = tg.tensor([[0.5, -0.3]], dtype="float64")
        for t in tg.steps(4):
            h = (h @ pick(t)).tanh()
        return h.sum()

    run(lambda t: weights[t]).backward()
    session = viz.debug(run(lambda _t: weights[0]))
    rows = session.ledger(session.graph.parameters[0].index, session.last).rows
    assert [row.time for row in rows] == [4, 3, 2, 1]
    for row in rows:
        assert row.norm == pytest.approx(np.linalg.norm(weights[row.time - 1].grad.numpy()), rel=1e-12)


@pytest.mark.parametrize("network", ["LSTM", "GRU", "RNN", "ragged", "translated"])
def test_the_parts_of_the_loss_add_up_to_every_state_gradient(network):
    session = viz.debug(NETWORKS[network]())
    for moments in session.moments.values():
        sums: dict[int, np.ndarray] = {}
        for _origin, row in carried_state.triangle(session.trace, moments):
            for time, gradient in row.items():
                sums[time] = sums.get(time, 0) + gradient
        for moment in moments:
            expected = session.gradient(moment.nodes["h"], session.last)
            if expected is not None:
                np.testing.assert_allclose(sums[moment.time], expected, rtol=2e-4, atol=1e-6)


def test_no_loss_reaches_a_later_state():
    triangle = viz.debug(spelling()).triangle()
    assert {s: sorted(row) for s, row in triangle.items()} == {1: [1], 2: [1, 2], 3: [1, 2, 3], 4: [1, 2, 3, 4]}


def test_recurrent_jacobians_of_a_tanh_network_are_diag_times_w():
    session = viz.debug(spelling("RNN", steps=5, dtype="float64"))
    weight = session.graph.find("weight_hh_l0").value
    states = {n.scope.step: n.value for n in session.graph.nodes if n.role == "h" and n.op is not None}
    product, bound = np.eye(3), 1.0
    for gain in reversed(session.gains()):
        jacobian = np.diag(1 - states[gain.time][0] ** 2) @ weight
        product, bound = product @ jacobian, bound * np.linalg.norm(jacobian, 2)
        assert gain.sigma == gain.h == pytest.approx(np.linalg.norm(jacobian, 2), rel=1e-12)
        assert gain.product == pytest.approx(np.linalg.norm(product, 2), rel=1e-12)
        assert gain.product_bound == pytest.approx(bound, rel=1e-12)
        expected = np.linalg.norm(weight, 2) * (1 - states[gain.time] ** 2).max()
        assert gain.bound == pytest.approx(expected, rel=1e-12)
        assert gain.sigma <= gain.bound * (1 + 1e-12)
    assert gain.time == 1


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_jacobians_of_gated_cells_are_those_of_one_step(kind):
    session = viz.debug(spelling(kind, dtype="float64", batch=2))
    values = {(n.role, n.scope.step): n.value for n in session.graph.nodes if n.op is not None}
    cell = getattr(nn, f"{kind}Cell")(4, 3, dtype="float64")
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(cell, name).data = session.graph.find(f"{name}_l0").value
    roles = ["h", "c"] if kind == "LSTM" else ["h"]
    for gain in session.gains():
        x = tg.tensor(values["x", gain.time])
        before = [tg.tensor(values[role, gain.time - 1], requires_grad=True) for role in roles]
        after = cell(x, tuple(before) if len(roles) > 1 else before[0])
        after = after if len(roles) > 1 else (after,)
        largest = 0.0
        for sample in range(2):
            rows = []
            for state in after:
                for unit in range(3):
                    seed = np.zeros(state.shape)
                    seed[sample, unit] = 1
                    found = tg.grad(state, before, [seed], retain_graph=True, allow_unused=True)
                    rows.append(np.concatenate([g.numpy()[sample] if g is not None else np.zeros(3) for g in found]))
            largest = max(largest, np.linalg.norm(np.array(rows), 2))
        assert gain.sigma == pytest.approx(largest, rel=1e-10)


def test_the_lstm_highway_is_the_forget_gate_times_the_next_cell_gradient():
    session = viz.debug(spelling("LSTM"))
    node = session.names.find
    for t in (1, 2, 3):
        ways = session.split(node(f"c_{t}"), session.last).ways
        highway = session.graph.nodes[node(f"f_{t + 1}")].value * session.gradient(node(f"c_{t + 1}"), session.last)
        o, c = (session.graph.nodes[node(f"{role}_{t}")].value for role in "oc")
        through_h = session.gradient(node(f"h_{t}"), session.last) * o * (1 - np.tanh(c) ** 2)
        np.testing.assert_allclose(ways["highway"], highway, rtol=1e-6)
        np.testing.assert_allclose(ways["through h"], through_h, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(
            ways["highway"] + ways["through h"], session.gradient(node(f"c_{t}"), session.last), rtol=1e-5
        )
    assert session.split(node("c_4"), session.last).ways["highway"] is None


def test_the_highway_is_seen_through_packed_states():
    session = viz.debug(NETWORKS["translated"]())
    node = session.names.find
    assert {".".join(path) for path in session.moments} == {"encoder.l0", "decoder.l0"}
    ways = session.split(node("decoder.l0.c_1"), session.last).ways
    forget, later = node("decoder.l0.f_2"), node("decoder.l0.c_2")
    highway = session.graph.nodes[forget].value * session.gradient(later, session.last)
    np.testing.assert_allclose(ways["highway"], highway, rtol=1e-5)
    total = sum(part for part in ways.values() if part is not None)
    np.testing.assert_allclose(total, session.gradient(node("decoder.l0.c_1"), session.last), rtol=1e-5)
    assert session.gains(("decoder", "l0"))[0].sigma > 0


def test_parameters_of_one_name_are_told_apart_by_where_they_are_used():
    names = viz.debug(NETWORKS["translated"]()).names
    assert names.find("encoder.l0.weight_hh_l0") != names.find("decoder.l0.weight_hh_l0")
    with pytest.raises(tg.ArgumentError, match="2 nodes are called weight_hh_l0"):
        names.find("weight_hh_l0")


def test_the_gru_highway_is_the_update_gate_times_the_next_gradient():
    session = viz.debug(spelling("GRU"))
    node = session.names.find
    ways = session.split(node("h_2"), session.last).ways
    highway = session.graph.nodes[node("z_3")].value * session.gradient(node("h_3"), session.last)
    np.testing.assert_allclose(ways["highway"], highway, rtol=1e-6)
    total = sum(part for part in ways.values() if part is not None)
    np.testing.assert_allclose(total, session.gradient(node("h_2"), session.last), rtol=1e-5)


@pytest.mark.parametrize("threshold", [0.01, 100.0])
def test_clipping_is_what_clip_grad_norm_does(threshold):
    loss = spelling()
    session = viz.debug(loss)
    found = leaves(loss)
    loss.backward()
    shown = session.clip(threshold)
    total = nn.utils.clip_grad_norm_(list(found.values()), threshold)
    assert shown.norm == pytest.approx(float(total), rel=1e-6)
    assert (shown.scale < 1) == (threshold < shown.norm)
    for row in shown.rows:
        assert row.after == pytest.approx(np.linalg.norm(found[row.node].grad.numpy()), rel=1e-5)


def test_a_what_if_is_what_a_hook_would_have_done():
    loss = spelling()
    session = viz.debug(loss)
    node = session.names.find("c_3")
    tensor = next(s.node for s in tg.walk([loss], [np.float32(1)]) if s.node.serial == session.graph.nodes[node].serial)
    tensor.register_hook(lambda g: g * 0 + 2)
    found = leaves(loss)
    loss.backward()
    recorded = session.trace
    session.what_if(node, 2)
    for leaf, parameter in found.items():
        assert session.trace.gradient(leaf).tobytes() == parameter.grad.numpy().tobytes()
    assert any(session.trace.gradient(leaf).tobytes() != recorded.gradient(leaf).tobytes() for leaf in found)
    assert session.sentence(session.turn_of(node)).count("what-if") == 1
    session.reset()
    assert session.trace is recorded


def test_two_what_ifs_hold_together_in_either_order():
    one, other = viz.debug(spelling()), viz.debug(spelling())
    early, late = one.names.find("h_3"), one.names.find("c_2")
    one.what_if(early, 0.5), one.what_if(late, -1)
    other.what_if(late, -1), other.what_if(early, 0.5)
    for a, b in zip(one.trace.steps, other.trace.steps, strict=True):
        assert a.gradient.tobytes() == b.gradient.tobytes()
    assert np.all(one.gradient(late, one.last) == -1)


def test_a_hook_that_replaces_a_gradient_is_said():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    y = x * 3
    y.register_hook(lambda g: g * 10)
    session = viz.debug(y.sum())
    assert "replaced by a hook" in session.sentence(2)
    np.testing.assert_array_equal(session.gradient(0, session.last), [30, 30])


def test_the_forward_pass_appears_in_order():
    session = viz.debug(spelling())
    session.goto(session.first)
    assert session.where().phase == "forward"
    later = session.names.find("h_2")
    assert session.value(later) is None
    session.goto(session.first + session.forward.index(later))
    assert session.where().name == "h_2"
    np.testing.assert_array_equal(session.value(later), session.graph.nodes[later].value)
    for beyond in (session.last + 1, 10**9, session.first - 1):
        with pytest.raises(tg.ArgumentError, match=f"positions go from {session.first} to {session.last}"):
            session.goto(beyond)
    assert session.where().name == "h_2"


def test_every_moment_has_a_sentence(loss):
    session = viz.debug(loss)
    for p in range(session.first, session.last + 1):
        text = session.sentence(p)
        assert text.endswith(".") and text[0] == text[0].upper() and "\n" not in text and "None" not in text


# Detective work ----------------------------------------------------------------------------------------------


def test_a_value_with_nan_is_described_by_its_numbers():
    x = tg.tensor([1.0, -2.0, 0.0], requires_grad=True)
    with np.errstate(all="ignore"):
        session = viz.debug(x.log().sum())
    assert "3 values, 1 of them nan, 1 of them infinite." in session.sentence(session.first)


def test_the_origin_of_a_nan_in_the_forward_pass():
    x = tg.tensor([1.0, 0.0, 2.0], requires_grad=True, name="x")
    with np.errstate(all="ignore"):
        session = viz.debug((x.log() * 2 + 1).sum())
    found = session.origin()
    assert (found.phase, found.name) == ("forward", "log(x)")
    assert "log(x)[1] = −∞" in found.explanation and "x goes from 0 to 2" in found.explanation
    assert session.where(found.position).expression == "log(x)"


def test_the_origin_of_a_nan_that_came_in_with_the_data():
    x, w = tg.tensor([1.0, float("nan")], name="x"), tg.tensor([1.0, 1.0], requires_grad=True, name="w")
    found = viz.debug((x * w).sum()).origin()
    assert (found.phase, found.name) == ("forward", "x") and "x[1] = nan" in found.explanation


def test_the_origin_of_a_nan_that_only_the_walk_back_makes():
    x = tg.tensor([4.0, 0.0], requires_grad=True, name="x")
    loss = (x * x).sqrt().sum()
    assert np.isfinite(float(loss))
    session = viz.debug(loss)
    found = session.origin()
    assert (found.phase, found.name) == ("backward", "sqrt(x ⊙ x)")
    assert session.where(found.position).op == "sqrt"
    assert not np.isfinite(session.gradient(session.names.find("x"), session.last)).all()


def test_an_infinity_on_purpose_is_not_an_origin():
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    masked = tg.where(tg.tensor([True, False]), x, float("-inf"))
    assert viz.debug(tg.logsumexp(masked, axis=0)).origin() is None


def test_an_intended_mask_is_not_blamed_for_a_later_0_over_0():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    mask = tg.tensor([0.0, -np.inf], name="mask")
    weights = (x + mask).softmax(0) * 0.0
    with np.errstate(all="ignore"):
        session = viz.debug((weights / weights.sum()).sum())
        found = session.origin()
    assert session.where(found.position).op == "div" and found.name != "mask"
    assert "are finite" in found.explanation and "is 0" in found.explanation


def test_where_everything_is_masked_the_mean_is_to_blame_and_not_the_mask():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    with np.errstate(all="ignore"):
        session = viz.debug((x + tg.tensor([-np.inf, -np.inf], name="mask")).softmax(0).sum())
    assert session.origin().name == "softmax(x + mask)" and "no operand is nan" in session.origin().explanation


def test_an_infinity_that_an_operation_made_is_to_blame_for_the_nan_it_becomes():
    x = tg.tensor([1.0, 1000.0], requires_grad=True, name="x")
    with np.errstate(all="ignore"):
        session = viz.debug((x.exp() - x.exp()).sum())
    assert session.where(session.origin().position).op == "exp"


def test_a_page_at_a_prompt_is_a_line(tmp_path):
    session = viz.debug(spelling())
    written = session.html(tmp_path / "[bold]walk.html")
    assert written.startswith("<!doctype html>") and len(repr(written)) < 200 and "[bold]walk.html" in repr(written)


def test_a_carry_that_was_cut_is_found():
    tg.manual_seed(0)
    cell = nn.LSTMCell(2, 3)
    state = None
    for t in tg.steps(3):
        h, c = cell(tg.ones(1, 2), state)
        state = h, (c.detach() if t == 1 else c)
    session = viz.debug(h.sum())
    (cut,) = session.cuts()
    assert session.where(session.turn_of(cut[1])).time == 3
    assert viz.debug(spelling()).cuts() == []


def test_an_initial_state_that_is_seen_again_later_is_no_cut():
    """A line of delays: the state of two steps before comes in as well, and before the first two it is the same."""
    w = tg.tensor(np.eye(3), requires_grad=True)
    h = before = tg.zeros(1, 3)
    for x in tg.ones(4, 1, 3):
        h, before = tg.tanh(x + h @ w + before), h
    assert viz.debug(h.sum()).cuts() == []


def test_the_strongest_way_leads_from_the_loss_to_the_node():
    session = viz.debug(spelling())
    hops = session.path(session.names.find("weight_hh_l0"))
    assert hops[0].node == session.trace.output
    for hop, following in pairwise(hops):
        assert following.node in session.graph.nodes[hop.node].sources
    assert [hop.position for hop in hops] == sorted(hop.position for hop in hops)


# Names -------------------------------------------------------------------------------------------------------


def test_names_are_unique_and_found(loss):
    names = viz.debug(loss).names
    assert len(set(names.names)) == len(names.names)
    for index, name in enumerate(names.names):
        assert names.find(name) == index == names.find(f"#{index}")


def test_names_can_be_written_in_several_ways():
    names = viz.debug(spelling()).names
    assert names.find("h_3") == names.find("h3") == names.find("h[3]") == names.find("h₃") == names.find(" h.3 ")
    assert names.find("l0.h_3") == names.find("h_3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("h_9", "did you mean h_"), ("wieght_hh_l0", "weight_hh_l0"), ("#999999", "they go from #0"), ("", "no node"),
        ("linear_1", "2 nodes are called linear_1"), ("\n\x1b[31m" * 99, "no node is called"),
    ],
)  # fmt: skip
def test_unknown_names_suggest_near_ones(text, said):
    with pytest.raises(tg.ArgumentError, match=re.escape(said)) as error:
        viz.debug(spelling()).names.find(text)
    assert "\n" not in str(error.value) and "\x1b" not in str(error.value) and len(str(error.value)) < 400


def test_hostile_names_are_only_text():
    x = tg.tensor([1.0], requires_grad=True, name='<script>"\n\x1b[2J' + "x" * 10_000)
    session = viz.debug((x * x).sum())
    (name,) = {session.names[i] for i in session.graph.nodes[1].sources}
    assert len(name) <= 40 and name.isprintable()
    assert session.names.find(name) == 0


# Files and refusals ------------------------------------------------------------------------------------------


def test_a_saved_trace_comes_back_bit_for_bit(loss, tmp_path):
    trace = record(loss)
    trace.save(tmp_path / "walk.trace")
    session, again = Session(trace), viz.debug(tmp_path / "walk.trace")
    assert len(again.trace) == len(trace)
    for old, new in zip(trace.steps, again.trace.steps, strict=True):
        assert old.gradient.tobytes() == new.gradient.tobytes()
        assert [(c.slot, c.target) for c in old.contributions] == [(c.slot, c.target) for c in new.contributions]
    for p in range(session.first, session.last + 1, 7):
        assert session.snapshot(p) == again.snapshot(p)


def test_a_saved_sample_and_a_saved_what_if_come_back(tmp_path):
    sample = record(spelling(), every=2)
    sample.save(tmp_path / "sample.trace")
    again = Trace.load(tmp_path / "sample.trace")
    assert again.every == 2
    for node in again.graph.parameters:
        assert again.summed(node.index, 99).tobytes() == sample.summed(node.index, 99).tobytes()
    session = viz.debug(spelling())
    session.what_if(session.names.find("c_2"), 0)
    session.save(tmp_path / "what-if.trace")
    assert [step.replaced for step in Trace.load(tmp_path / "what-if.trace").steps].count("what-if") == 1


def test_a_trace_with_nan_comes_back(tmp_path):
    x = tg.tensor([-1.0, 2.0], requires_grad=True)
    with np.errstate(all="ignore"):
        record(x.log().sum()).save(tmp_path / "nan.trace")
    assert viz.debug(tmp_path / "nan.trace").origin() is not None


def _saved(tmp_path: Path) -> tuple[Path, dict]:
    path = tmp_path / "walk.trace"
    record(spelling()).save(path)
    return path, json.loads(path.read_text())


def _edit(*keys, value):
    def change(data):
        place = data
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        return data

    return change


def _only_the_first_contribution(data):
    last = data["steps"][-1]
    sent = [sent for step in data["steps"] for sent in step["contributions"] if sent[1] == last["node"]]
    last["gradient"] = sent[0][2]
    return data


@pytest.mark.parametrize(
    "damage",
    [
        _edit("format", value="something else"), _edit("steps", value=[]), _edit("seed", value=10**6),
        _edit("every", value="x"), _edit("arrays", 0, "base64", value="AAAA"), _edit("arrays", 0, "dtype", value="O"),
        _edit("arrays", 0, "shape", value=[-1]), _edit("steps", 3, "node", value=10**9),
        _edit("steps", 3, "node", value="h_3"), _edit("steps", 3, "gradient", value=0),
        _edit("steps", 0, "contributions", 0, 1, value=0), _edit("steps", 0, "contributions", 0, 0, value=7),
        _edit("steps", 0, "contributions", 0, 2, value=None), _edit("steps", 0, "replaced", value="<b>"),
        _edit("graph", value={}), _edit("graph", "nodes", 0, "op", value="none"), _edit("graph", "outputs", value=[]),
        lambda data: [data], lambda data: {}, lambda data: data | {"steps": data["steps"][::-1]},
        lambda data: data | {"steps": data["steps"] * 2}, lambda _data: None,
        lambda data: data | {"steps": data["steps"][1:]},
        _edit("steps", 5, "contributions", value=[]), _only_the_first_contribution,
    ],
)  # fmt: skip
def test_a_damaged_trace_is_refused_in_one_line(tmp_path, damage):
    path, data = _saved(tmp_path)
    path.write_text(json.dumps(damage(data)))
    with pytest.raises(tg.DataError, match=r"walk\.trace is not a saved trace, or it is damaged") as error:
        Trace.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kept", [0, 1, 100, 5000])
def test_a_truncated_trace_is_refused(tmp_path, kept):
    path, _ = _saved(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(tg.DataError, match="is not a saved trace"):
        Trace.load(path)


def test_files_that_cannot_be_read_or_written_are_one_line(tmp_path):
    (tmp_path / "binary.trace").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing.trace", tmp_path, tmp_path / "binary.trace"):
        with pytest.raises(tg.DataError):
            viz.debug(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(tg.DataError, match="cannot write"):
        record(spelling()).save(tmp_path / "file" / "walk.trace")


def test_what_cannot_be_debugged_says_why():
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    with pytest.raises(tg.GraphError, match="2 elements"):
        viz.debug(w * w)
    with pytest.raises(tg.GraphError, match="requires a gradient"):
        viz.debug(tg.tensor(1.0))
    with pytest.raises(tg.ArgumentError, match="not ndarray"):
        viz.debug(np.ones(3))
    with pytest.raises(tg.ArgumentError, match="every="):
        viz.debug((w * w).sum(), every=0)
    spent = (w * w).sum()
    spent.backward()
    with pytest.raises(tg.GraphError, match="walked backward already"):
        viz.debug(spent)
    written = (w * w).sum()
    with tg.no_grad():
        w[0] = 5.0
    with pytest.raises(tg.MutationError, match="written in place"):
        viz.debug(written)
    kept = (w * w).sum()
    kept.backward(retain_graph=True)
    assert len(viz.debug(kept).trace) == 3
    assert len(viz.debug(w * w, gradient=[1.0, 0.0]).trace) == 2
    with pytest.raises(tg.ShapeError):
        viz.debug(w * w, gradient=[1.0, 0.0, 3.0])


def test_what_cannot_be_replaced_says_why():
    session = viz.debug(spelling())
    with pytest.raises(tg.GraphError, match="received no gradient"):
        session.what_if(session.names.find("letters"), 0)
    with pytest.raises(tg.ShapeError, match="has shape"):
        session.what_if(session.names.find("h_2"), [1.0, 2.0])
    with pytest.raises(tg.GraphError, match="sampled"):
        Session(record(spelling(), every=2)).what_if(0, 0)


def _chain(steps: int) -> tuple[tg.Tensor, tg.Tensor]:
    w = tg.tensor([0.5], requires_grad=True, name="w")
    h = tg.tensor([1.0])
    for _ in tg.steps(steps):
        h = nn.labelled((h * w + w).tanh(), "h")
    return h.sum(), w


def test_a_walk_of_too_many_nodes_says_what_it_costs_and_offers_a_sample(monkeypatch):
    monkeypatch.setattr("tinygrad_rnn.bptt.recording.STEP_LIMIT", 5_000)
    loss, w = _chain(1_700)
    offer = r"5,10\d steps, about .* keep one time step in 10 with every=10"
    with pytest.raises(tg.GraphError, match=offer) as error:
        viz.debug(loss)
    assert "\n" not in str(error.value)
    trace = record(loss, every=100)
    assert len(trace) < 200
    (gradient,) = tg.grad(loss, w)
    assert trace.summed(0, len(trace.arrivals[0])).tobytes() == gradient.numpy().tobytes()


def test_the_ledger_of_a_sample_has_rows_for_what_was_left_out():
    session = viz.debug(_chain(60)[0], every=20)
    rows = session.ledger(0, session.last).rows
    labels = [row.label for row in rows]
    between = "left-out time steps"
    assert labels == ["t=60", between, "t=41", between, "t=21", between, "t=1"]
    assert sum(row.share for row in rows) == pytest.approx(1, abs=1e-5)


def test_a_walk_that_is_too_long_is_refused_before_its_steps_are_looked_for(monkeypatch):
    monkeypatch.setattr("tinygrad_rnn.bptt.recording.STEP_LIMIT", 100)
    monkeypatch.setattr("tinygrad_rnn.bptt.recording.timed", lambda _graph: pytest.fail("they were"))
    with pytest.raises(tg.GraphError, match="every=10"):
        record(_chain(200)[0])


def test_a_walk_of_many_bytes_is_refused_too(monkeypatch):
    monkeypatch.setattr("tinygrad_rnn.bptt.recording.BYTE_LIMIT", 2**18)
    loss, _ = _chain(200)
    with pytest.raises(tg.GraphError, match="every=10"):
        record(loss)
    assert len(record(loss, anyway=True)) == 602
    single = (tg.tensor(np.ones(2**17), requires_grad=True) * 2).sum()
    with pytest.raises(tg.GraphError, match="reduce the graph"):
        record(single)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_tensors_without_elements(shape):
    x = tg.tensor(np.zeros(shape), requires_grad=True)
    y = tg.concat(
        [tg.stack([x * 2, x.tanh()]).reshape(-1), (x @ np.ones((shape[-1], 2))).reshape(-1), x[:1].reshape(-1)]
    )
    session = viz.debug(y.sum() + (x * x).sum())
    assert [session.snapshot(p) for p in range(session.first, session.last + 1)]
    assert "<html" in session.html()
    assert session.clip(1.0).norm == 0.0 and session.origin() is None


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_batch_of_no_sequences(kind):
    session = viz.debug(getattr(nn, kind)(2, 3)(tg.zeros(3, 0, 2))[0].sum())
    assert all(session.sentence(p) for p in range(session.first, session.last + 1))
    assert {g.sigma for g in session.gains()} == {0.0} and session.triangle()


def test_data_is_json_whatever_is_in_it():
    value = {"a": np.array([np.nan, np.inf, -np.inf, 1]), "b": np.float32(2), "c": np.ones((9, 9)), "d": (None, "x")}
    text = json.dumps(session_data.data(value, 16), allow_nan=False)
    assert json.loads(text)["a"] == ["nan", "inf", "-inf", 1.0]
    assert json.loads(text)["c"]["shape"] == [9, 9] and len(json.loads(text)["c"]["first"]) == 16
