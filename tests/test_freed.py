"""What a walk back leaves behind: the graph walked last can be looked at, an earlier one is freed, as PyTorch's is."""

import gc
import threading
import weakref

import numpy as np
import pytest

import tinygrad_rnn as tg
import viz

W = tg.tensor([[0.5, -0.2], [0.1, 0.3]], requires_grad=True, name="w")


def step(**settings):
    """One step of training, and a weak reference to something inside its graph."""
    hidden = (tg.ones(1, 2) @ W).tanh()
    scores = hidden @ W
    loss = scores.square().sum()
    loss.backward(**settings)
    return loss, scores, weakref.ref(hidden)


def test_a_loss_or_an_output_in_a_list_keeps_its_numbers_only():
    gc.disable()  # nothing here waits for Python's collector
    try:
        losses, outputs, inside = [], [], []
        for k in range(4):
            loss, scores, hidden = step()
            losses.append(loss) if k % 2 else outputs.append(scores)
            inside.append(hidden)
            del loss, scores
            assert all(ref() is None for ref in inside[:-1])
        assert all(x.item() > 0 for x in losses) and all(x.shape == (1, 2) for x in outputs)
    finally:
        gc.enable()


def test_the_graph_walked_last_can_be_looked_at():
    loss, _, _ = step()
    assert len(tg.Graph(loss)) == 7 and "tanh" in viz.render(loss, detail="op", grads=True).dot
    assert "dL/dL" in str(viz.derive(loss))


def test_what_is_freed_says_so():
    loss, scores, _ = step()
    step()
    for look in (lambda: tg.Graph(loss), lambda: viz.render(scores), lambda: tg.Graph((scores * 2).sum())):
        with pytest.raises(tg.GraphError, match=r"was walked backward, and freed .*retain_graph=True") as error:
            look()
        assert "\n" not in str(error.value)
    for again in (loss.backward, lambda: tg.grad((scores * 2).sum(), W), lambda: viz.debug(loss)):
        with pytest.raises(tg.GraphError, match="walked backward before"):
            again()


def test_what_was_freed_is_a_value_like_any_other():
    _, scores, _ = step()
    step()
    (g,) = tg.grad((scores * 2).sum(), scores)
    assert g.tolist() == [[2.0, 2.0]] and scores.detach().op is None and not scores.is_leaf
    assert (scores * 2).tolist() == (2 * scores.numpy()).tolist()


def test_a_graph_that_is_kept_is_kept():
    loss, scores, hidden = step(retain_graph=True)
    step(), step()
    before = W.grad
    loss.backward()
    assert hidden() is not None and not np.array_equal(before.numpy(), W.grad.numpy()) and len(tg.Graph(scores))


def test_threads_free_their_own():
    loss, _, _ = step()
    other = threading.Thread(target=lambda: (step(), step()))
    other.start()
    other.join()
    assert len(tg.Graph(loss)) == 7
