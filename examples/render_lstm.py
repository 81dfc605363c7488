"""Ten lines to a picture: an LSTM unrolled over four steps, with the gradient of every node."""

import tinygrad_rnn as tg
from tinygrad_rnn import viz

tg.manual_seed(0)
cell, head = tg.nn.LSTMCell(4, 3), tg.nn.Linear(3, 4)
inputs, targets, state, total = tg.one_hot([0, 1, 2, 2], 4), [1, 2, 2, 3], None, 0.0
for t in tg.steps(4):
    h, c = state = cell(tg.nn.labelled(inputs[t : t + 1], "x"), state)
    scores = tg.nn.labelled(head(h), "logits")
    total = total + tg.nn.labelled(tg.nn.functional.cross_entropy(scores, targets[t : t + 1]), "loss")
viz.render(total, "out/lstm.svg", detail="gate", values=True, grads=True)
