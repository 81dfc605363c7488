# ruff: noqa: E501 -- texts and what is said of them stay on one line
# fmt: off
"""Three more networks in students' styles, and mistakes that no kind of edit was written for.

A tagger of two directions in columns, whose steps have weights of their own; a gated network with a norm over padded
sequences, averaged; a decoder with additive attention, whose output is fed back.
"""

import inspect

import numpy as np

import tinygrad_rnn as tg

# ------------------------------------------------------------------------------------------------ 1. tagger
# Both directions in columns, one dictionary of weights each, a weight for every step's loss, L2 on all matrices.


def tagger_data():
    r = np.random.default_rng(31)
    d, h, v = 3, 3, 4
    p = {}
    for way in ("fw", "bw"):
        p["W_" + way] = r.normal(size=(h, d)) * 0.7
        p["U_" + way] = r.normal(size=(h, h)) * 0.6
        p["b_" + way] = r.normal(size=(h, 1)) * 0.3
    p["V"] = r.normal(size=(v, 2 * h))
    p["c"] = r.normal(size=(v, 1)) * 0.2
    return p, {"xs": [r.normal(size=(d, 1)) for _ in range(5)], "tags": [2, 0, 1, 1, 3], "weight": [1.0, 0.5, 2.0, 1.5, 0.7], "decay": 0.05}


def tagger_loss(p, d):
    steps = len(d["xs"])
    states = {}
    for way, order in (("fw", range(steps)), ("bw", reversed(range(steps)))):
        h = tg.zeros(p["b_fw"].shape[0], 1, dtype=np.float64)
        for t in order:
            h = tg.tanh(p["W_" + way] @ tg.tensor(d["xs"][t]) + p["U_" + way] @ h + p["b_" + way])
            states[way, t] = h
    total = 0.0
    for t in range(steps):
        scores = p["V"] @ tg.concat([states["fw", t], states["bw", t]], 0) + p["c"]
        total = total - d["weight"][t] * tg.log_softmax(scores, 0)[d["tags"][t], 0]
    penalty = sum((p[k] ** 2).sum() for k in ("W_fw", "U_fw", "W_bw", "U_bw", "V"))
    return total / sum(d["weight"]) + d["decay"] * penalty


def tagger_backward(p, d):
    xs, tags, weight, decay = d["xs"], d["tags"], d["weight"], d["decay"]
    T = len(xs)
    H = p["b_fw"].shape[0]
    h = {"fw": {-1: np.zeros((H, 1))}, "bw": {T: np.zeros((H, 1))}}
    for t in range(T):
        h["fw"][t] = np.tanh(p["W_fw"] @ xs[t] + p["U_fw"] @ h["fw"][t - 1] + p["b_fw"])
    for t in range(T - 1, -1, -1):
        h["bw"][t] = np.tanh(p["W_bw"] @ xs[t] + p["U_bw"] @ h["bw"][t + 1] + p["b_bw"])
    both, prob = {}, {}
    for t in range(T):
        both[t] = np.vstack([h["fw"][t], h["bw"][t]])
        z = p["V"] @ both[t] + p["c"]
        prob[t] = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dfw, dbw = {}, {}
    for t in range(T):
        dz = prob[t].copy()
        dz[tags[t]] -= 1
        dz *= weight[t] / sum(weight)
        g["V"] += dz @ both[t].T
        g["c"] += dz
        dboth = p["V"].T @ dz
        dfw[t], dbw[t] = dboth[:H], dboth[H:]
    dnext = np.zeros((H, 1))
    for t in range(T - 1, -1, -1):
        dh = dfw[t] + dnext
        da = dh * (1 - h["fw"][t] ** 2)
        g["W_fw"] += da @ xs[t].T
        g["U_fw"] += da @ h["fw"][t - 1].T
        g["b_fw"] += da
        dnext = p["U_fw"].T @ da
    dnext = np.zeros((H, 1))
    for t in range(T):
        dh = dbw[t] + dnext
        da = dh * (1 - h["bw"][t] ** 2)
        g["W_bw"] += da @ xs[t].T
        g["U_bw"] += da @ h["bw"][t + 1].T
        g["b_bw"] += da
        dnext = p["U_bw"].T @ da
    for k in ("W_fw", "U_fw", "W_bw", "U_bw", "V"):
        g[k] += 2 * decay * p[k]
    return g


# ------------------------------------------------------------------------------------------------ 2. padded
# Words in padded rows, a gated cell with a norm, states kept where a row has ended, averaged over the lengths.


def padded_data():
    r = np.random.default_rng(32)
    h, v, k = 4, 6, 3
    p = {
        "E": r.normal(size=(v, h)),
        "Wz": r.normal(size=(2 * h, h)) * 0.5,
        "bz": r.normal(size=h) * 0.3,
        "Wn": r.normal(size=(2 * h, h)) * 0.5,
        "gain": 1 + 0.2 * r.normal(size=h),
        "h0": r.normal(size=(1, h)) * 0.5,
        "Wo": r.normal(size=(h, k)),
        "bo": r.normal(size=k) * 0.3,
    }
    words = np.array([[1, 2, 3, 2], [4, 1, 0, 0], [5, 5, 2, 0]])
    return p, {"words": words, "lengths": np.array([4, 2, 3]), "y": np.array([0, 2, 1])}


def padded_loss(p, d):
    words, lengths = d["words"], d["lengths"]
    n, steps = words.shape
    h = p["h0"] + np.zeros((n, p["h0"].shape[1]))
    pooled = 0.0
    for t in tg.steps(steps):
        live = (t < lengths).astype(float)[:, None]
        x = p["E"][words[:, t]]
        xh = tg.concat([x, h], 1)
        z = tg.sigmoid(xh @ p["Wz"] + p["bz"])
        a = xh @ p["Wn"]
        scale = tg.sqrt((a * a).mean(1, keepdims=True) + 1e-6)
        unit = a / scale
        cand = tg.tanh(unit * p["gain"])
        new = z * h + (1 - z) * cand
        h = live * new + (1 - live) * h
        pooled = pooled + live * h
    mean = pooled / lengths[:, None]
    logp = tg.log_softmax(mean @ p["Wo"] + p["bo"], 1)
    return -logp[np.arange(n), d["y"]].mean()


def padded_backward(p, d):
    words, lengths, y = d["words"], d["lengths"], d["y"]
    N, T = words.shape
    H = p["h0"].shape[1]
    h = np.repeat(p["h0"], N, 0)
    caches, pooled = [], np.zeros((N, H))
    for t in range(T):
        live = (t < lengths).astype(float)[:, None]
        x = p["E"][words[:, t]]
        xh = np.concatenate([x, h], 1)
        z = 1 / (1 + np.exp(-(xh @ p["Wz"] + p["bz"])))
        a = xh @ p["Wn"]
        scale = np.sqrt((a * a).mean(1, keepdims=True) + 1e-6)
        unit = a / scale
        cand = np.tanh(unit * p["gain"])
        h_prev = h
        new = z * h_prev + (1 - z) * cand
        h = live * new + (1 - live) * h_prev
        pooled += live * h
        caches.append({"live": live, "xh": xh, "z": z, "scale": scale, "unit": unit, "cand": cand, "h_prev": h_prev})
    mean = pooled / lengths[:, None]
    s = mean @ p["Wo"] + p["bo"]
    prob = np.exp(s - s.max(1, keepdims=True))
    prob /= prob.sum(1, keepdims=True)
    ds = prob
    ds[np.arange(N), y] -= 1
    ds /= N
    g = {k: np.zeros_like(v) for k, v in p.items()}
    g["Wo"] = mean.T @ ds
    g["bo"] = ds.sum(0)
    dmean = ds @ p["Wo"].T
    dpooled = dmean / lengths[:, None]
    dh = np.zeros((N, H))
    for t in reversed(range(T)):
        k = caches[t]
        live, xh, z, scale, unit, cand, h_prev = (k[name] for name in ("live", "xh", "z", "scale", "unit", "cand", "h_prev"))
        dh = dh + live * dpooled
        dnew = live * dh
        dz = dnew * (h_prev - cand)
        dcand = dnew * (1 - z)
        dpre = dcand * (1 - cand**2)
        g["gain"] += (dpre * unit).sum(0)
        dunit = dpre * p["gain"]
        da = (dunit - unit * (dunit * unit).mean(1, keepdims=True)) / scale
        daz = dz * z * (1 - z)
        g["Wn"] += xh.T @ da
        g["Wz"] += xh.T @ daz
        g["bz"] += daz.sum(0)
        dxh = da @ p["Wn"].T + daz @ p["Wz"].T
        np.add.at(g["E"], words[:, t], dxh[:, :H])
        dh = dxh[:, H:] + dnew * z + (1 - live) * dh
    g["h0"] = dh.sum(0, keepdims=True)
    return g


# ------------------------------------------------------------------------------------------------ 3. fed
# A decoder of real numbers over a memory, additive attention, the output fed back, squared error, a learned first output.


def fed_data():
    r = np.random.default_rng(33)
    n, s, h, o = 2, 3, 3, 2
    p = {
        "Wm": r.normal(size=(h, h)) * 0.7,
        "Ws": r.normal(size=(h, h)) * 0.7,
        "va": r.normal(size=(h, 1)),
        "Wi": r.normal(size=(o, h)) * 0.6,
        "Wc": r.normal(size=(h, h)) * 0.6,
        "Wh": r.normal(size=(h, h)) * 0.6,
        "b": r.normal(size=h) * 0.3,
        "Wy": r.normal(size=(h, o)),
        "by": r.normal(size=o) * 0.3,
        "y0": r.normal(size=(1, o)),
    }
    return p, {"memory": r.normal(size=(n, s, h)), "goal": r.normal(size=(4, n, o))}


def fed_loss(p, d):
    memory, goal = d["memory"], d["goal"]
    n, length, size = memory.shape
    keys = tg.tensor(memory.reshape(n * length, size)) @ p["Wm"]
    h = tg.zeros(n, size, dtype=np.float64)
    y = p["y0"] + np.zeros((n, goal.shape[2]))
    total = 0.0
    for t in tg.steps(goal.shape[0]):
        q = h @ p["Ws"]
        e = tg.tanh(keys.reshape(n, length, size) + q.reshape(n, 1, size))
        alpha = tg.softmax((e.reshape(n * length, size) @ p["va"]).reshape(n, length), 1)
        context = (alpha.reshape(n, length, 1) * memory).sum(1)
        h = tg.tanh(y @ p["Wi"] + context @ p["Wc"] + h @ p["Wh"] + p["b"])
        y = h @ p["Wy"] + p["by"]
        total = total + ((y - goal[t]) ** 2).mean()
    return total


def fed_backward(p, d):
    memory, goal = d["memory"], d["goal"]
    N, _, H = memory.shape
    T, _, K = goal.shape
    keys = memory @ p["Wm"]
    hs, ys, es, alphas, contexts = [np.zeros((N, H))], [np.repeat(p["y0"], N, 0)], [], [], []
    for _ in range(T):
        q = hs[-1] @ p["Ws"]
        e = np.tanh(keys + q[:, None])
        score = (e @ p["va"])[:, :, 0]
        alpha = np.exp(score) / np.exp(score).sum(1, keepdims=True)
        context = np.einsum("ns,nsh->nh", alpha, memory)
        hs.append(np.tanh(ys[-1] @ p["Wi"] + context @ p["Wc"] + hs[-1] @ p["Wh"] + p["b"]))
        ys.append(hs[-1] @ p["Wy"] + p["by"])
        es.append(e)
        alphas.append(alpha)
        contexts.append(context)
    g = {k: np.zeros_like(v) for k, v in p.items()}
    dh_next, dy_next, dkeys = np.zeros((N, H)), np.zeros((N, K)), np.zeros_like(keys)
    for t in range(T - 1, -1, -1):
        dy = 2 * (ys[t + 1] - goal[t]) / (N * K) + dy_next
        g["Wy"] += hs[t + 1].T @ dy
        g["by"] += dy.sum(0)
        dh = dy @ p["Wy"].T + dh_next
        da = dh * (1 - hs[t + 1] ** 2)
        g["Wi"] += ys[t].T @ da
        g["Wc"] += contexts[t].T @ da
        g["Wh"] += hs[t].T @ da
        g["b"] += da.sum(0)
        dy_next = da @ p["Wi"].T
        dcontext = da @ p["Wc"].T
        dalpha = np.einsum("nh,nsh->ns", dcontext, memory)
        dscore = alphas[t] * (dalpha - (dalpha * alphas[t]).sum(1, keepdims=True))
        g["va"] += np.einsum("nsh,ns->h", es[t], dscore)[:, None]
        de = dscore[:, :, None] * p["va"][:, 0]
        dpre = de * (1 - es[t] ** 2)
        dkeys += dpre
        dq = dpre.sum(1)
        g["Ws"] += hs[t].T @ dq
        dh_next = da @ p["Wh"].T + dq @ p["Ws"].T
    g["Wm"] = np.einsum("nsi,nsj->ij", memory, dkeys)
    g["y0"] = dy_next.sum(0, keepdims=True)
    return g


MISTAKES = [
    ("tagger", "dz *= weight[t] / sum(weight)", "dz /= T", "weights of the steps forgotten", "What scores receives from log_softmax(scores) has a factor of its own at every step: 1.14, 2.28, 0.57, 0.76, 1.629. It is divided by the number that log_softmax(scores)[3, 0] is multiplied with at that step."),
    ("tagger", "dz *= weight[t] / sum(weight)", "dz *= weight[t]", "the sum of the weights forgotten", "At every step, what scores receives from log_softmax(scores) is multiplied by 5.7, a number of the forward pass."),
    ("tagger", "weight[t] / sum(weight)", "weight[T - 1 - t] / sum(weight)", "weights counted from the end", "What scores receives from log_softmax(scores) has a factor of its own at every step: 0.7, 3, 1, 0.3333, 1.429. It is as if the number that log_softmax(scores)[3, 0] is multiplied with at that step were that counted from the other end."),
    ("tagger", "dz[tags[t]] -= 1", "dz[tags[t]] -= weight[t]", "the weight at the target twice", "In what scores receives from log_softmax(scores), g - exp(y) * sum(g), the term g has a factor of its own at every step: 1, 0.5, 2, 1.5, 0.7. It is multiplied by the number that log_softmax(scores)[3, 0] is multiplied with at that step."),
    ("tagger", "    for t in range(T):\n        dh = dbw[t] + dnext", "    for t in range(T - 1, -1, -1):\n        dh = dbw[t] + dnext", "the other direction is walked in the same order", "The time steps are visited in forward order: h⁽²⁾ receives the carry of the step before instead of the step after."),
    ("tagger", 'h["bw"][t + 1].T', 'h["bw"][t - 1 if t else T].T', "the other direction's neighbour", "At every step, what U_bw receives from U_bw @ h⁽²⁾ uses h⁽²⁾ of two steps after, 0 at the last where h⁽²⁾ belongs."),
    ("tagger", "dboth[:H], dboth[H:]", "dboth[H:], dboth[:H]", "halves exchanged", "At every step, h⁽¹⁾ and h⁽²⁾ receive each other's part of [h⁽¹⁾, h⁽²⁾]."),
    ("tagger", "    dnext = np.zeros((H, 1))\n    for t in range(T):\n        dh = dbw", "    for t in range(T):\n        dh = dbw", "the other direction's carry is not begun anew", "The gradient that is carried for h⁽²⁾ was not set to zero before the loop: it starts from what the loop over h⁽¹⁾ left there."),
    ("tagger", "2 * decay * p[k]", "decay * p[k]", "the 2 of the penalty forgotten", "The gradient of W_fw, U_fw, W_bw, U_bw, V has -0.05 times the value itself in it too, as of a penalty."),
    ("tagger", "2 * decay * p[k]", "2 * decay * g[k]", "the penalty's gradient of the gradient", ""),
    ("tagger", '("W_fw", "U_fw", "W_bw", "U_bw", "V"):\n        g[k]', '("W_fw", "U_fw", "W_bw", "U_bw"):\n        g[k]', "no penalty for V", "Once, what V receives from V^2 is missing."),
    ("tagger", '("W_fw", "U_fw", "W_bw", "U_bw", "V"):\n        g[k]', "p:\n        g[k]", "a penalty for biases, too", "The gradient of b_fw, b_bw, c has +0.1 times the value itself in it too, as of a penalty."),
    ("tagger", 'dh * (1 - h["bw"][t] ** 2)', 'dh * (1 - h["fw"][t] ** 2)', "tanh' of the other direction", "At every step, at h⁽²⁾ the derivative of tanh uses h⁽¹⁾ counted from the other end."),
    ("tagger", 'g["V"] += dz @ both[t].T', 'g["V"] += dz @ both[T - 1 - t].T', "states counted from the end", 'Once, what V receives from V @ [h⁽¹⁾, h⁽²⁾] uses [h⁽¹⁾, h⁽²⁾] counted from the other end.'),
    ("padded", "dh = dh + live * dpooled", "dh = dh + dpooled", "the mask of the mean forgotten", "At every step, what h receives from live ⊙ h lacks the factor live."),
    ("padded", "dmean / lengths[:, None]", "dmean / T", "mean over all steps", "Once, what pooled receives from mean is divided by 4, not by lengths[:, None]."),
    ("padded", "dmean / lengths[:, None]", "dmean / lengths.max()", "mean over the longest", "Once, what pooled receives from mean is divided by 4, not by lengths[:, None]."),
    ("padded", "+ dnew * z + (1 - live) * dh", "+ dnew * z + dh", "an ended row's mask forgotten on the way through", "At every step, what h receives from (1 − live) ⊙ h of the next step lacks the factor 1 − live."),
    ("padded", "(h_prev - cand)", "(cand - h_prev)", "sign of z", "At every step, what (xh @ Wz) + bz receives from z is of the wrong sign."),
    ("padded", "unit * (dunit * unit).mean(1", "unit * (dunit * unit).sum(1", "sum for mean in the norm", "At every step, what sum(a ⊙ a) receives from (sum(a ⊙ a) / 4) + 1e-06, by all ways, is that gradient as it is: the derivative is forgotten."),
    ("padded", " / scale\n        daz", "\n        daz", "the scale forgotten", "At every step, what a receives from unit, by all ways, is g - y * mean(g * y) instead of (g - y * mean(g * y)) / s."),
    ("padded", " / scale\n        daz", " / scale**2\n        daz", "the scale squared", "At every step, what a receives from unit, by all ways, is (g - y * mean(g * y)) / s / s instead of (g - y * mean(g * y)) / s."),
    ("padded", "dxh[:, :H])", "dxh[:, H:])", "the state's half for the words", "At every step, what E_t receives from xh is cut out from place 4 on, not from 0."),
    ("padded", "dpre = dcand * (1 - cand**2)", "dpre = dcand * (1 - unit**2)", "tanh' of the unit", "At every step, at cand the derivative of tanh uses unit."),
    ("padded", "g[\"bz\"] += daz.sum(0)", "g[\"bz\"] += dz.sum(0)", "bias before sigmoid'", "At every step, what bz receives from (xh @ Wz) + bz comes from the gradient of z."),
    ("padded", "g[\"h0\"] = dh.sum(0", "g[\"h0\"] = dh.mean(0", "mean for the first state", "Once, what h0 receives from repeated h0 is divided by 3, the size of the batch."),
    ("padded", "    ds /= N\n", "    ds /= lengths.sum()\n", "divided by all words", "Every gradient is divided by 3, the size of the batch."),
    ("padded", "k = caches[t]", "k = caches[T - 1 - t]", "caches in order of time", "Every rule of each step uses what the step counted from the other end saved."),
    ("fed", "/ (N * K) + dy_next", "/ (N * K)", "nothing through the fed output", "At every step but the first, what y receives from y @ Wi of the next step is missing."),
    ("fed", "dy_next = da @ p[\"Wi\"].T", "dy_next = dh @ p[\"Wi\"].T", "before tanh'", "At every step, in what y receives from y @ Wi of the next step the derivative at h is forgotten."),
    ("fed", "g[\"Wi\"] += ys[t].T @ da", "g[\"Wi\"] += ys[t + 1].T @ da", "the output of the same step", "At every step, what Wi receives from y @ Wi uses y of the step after."),
    ("fed", "g[\"Wi\"] += ys[t].T @ da", "g[\"Wi\"] += (goal[t - 1] if t else ys[0]).T @ da", "what was to be put out, as in teacher forcing", "At every step, what Wi receives from y @ Wi uses goal[t] of the step before, what belongs there at the first where y belongs."),
    ("fed", "dq = dpre.sum(1)", "dq = dpre.mean(1)", "mean over the memory", "At every step, what q receives from reshaped q is divided by 3, the size of a dimension."),
    ("fed", "dq = dpre.sum(1)", "dq = dpre[:, -1]", "only the last place", "At every step, what reshaped q receives from the add in e is not un-broadcast: the last row instead of the sum over the batch."),
    ("fed", "g[\"Ws\"] += hs[t].T @ dq", "g[\"Ws\"] += hs[t + 1].T @ dq", "the new state asks", "At every step, what Ws receives from q uses h of the step after."),
    ("fed", " + dq @ p[\"Ws\"].T", "", "nothing through the query", "At every step, what h receives from q of the next step is missing."),
    ("fed", "dkeys += dpre", "dkeys = dpre", "keys of the first step only", "At every step but the first, what keys receives from reshaped keys is missing."),
    ("fed", "de * (1 - es[t] ** 2)", "de * (1 - e**2)", "e left over from the forward pass", "At every step, at e the derivative of tanh uses e of the last step."),
    ("fed", "dscore[:, :, None] * p[\"va\"][:, 0]", "dscore[:, :, None] * es[t]", "e for va", ""),
    ("fed", "(dalpha * alphas[t]).sum(1, keepdims=True)", "dalpha.sum(1, keepdims=True)", "softmax' without the weights in the sum", "At every step, what reshaped ((reshaped e) @ va) receives from alpha is y * (g - sum(g)) instead of y * (g - sum(g * y))."),
    ("fed", "g[\"y0\"] = dy_next.sum(0, keepdims=True)", "g[\"y0\"] = dy.sum(0, keepdims=True)", "the first output gets the next one's", "y receives the gradient of the first y, instead of what that hands on."),
    ("fed", "ys[t + 1] - goal[t]", "ys[t] - goal[t]", "the output one step early", "At every step, what y − goal[t] receives from (y − goal[t])^2 uses (y − goal[t]) with y of the step before in the place of y."),
    ("fed", "ys[t + 1] - goal[t]", "ys[t + 1] - goal[t - 1]", "the goal of the step before", "At every step, what y − goal[t] receives from (y − goal[t])^2 uses (y − goal[t]) with goal[t] of the step before, of the last at the first (index −1) in the place of goal[t]."),
    ("fed", "memory, dkeys)", "keys, dkeys)", "keys for the memory", "Once, what Wm receives from keys uses keys where memory.reshape(...) belongs."),
]

STYLES = ("tagger", "padded", "fed")


def data_of(network):
    """Values of the leaves (NumPy, float64) and the data."""
    return globals()[network + "_data"]()


def loss_of(network):
    """The network's loss, from fresh leaves."""
    values, data = data_of(network)
    leaves = {name: tg.tensor(value, requires_grad=True, name=name) for name, value in values.items()}
    return globals()[network + "_loss"](leaves, data)


def gradients(network, old=None, new=None):
    """The hand-written gradients by name; with ``old`` and ``new``, those of the changed text."""
    source = inspect.getsource(globals()[network + "_backward"])
    if old is not None:
        if source.count(old) != 1:
            raise ValueError(f"{network}: {source.count(old)} places hold {old!r}")
        source = source.replace(old, new)
    namespace = {"np": np}
    exec(compile(source, f"<{network}>", "exec"), namespace)
    return namespace[network + "_backward"](*data_of(network))
