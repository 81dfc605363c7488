# ruff: noqa: E501 -- texts and what is said of them stay on one line
"""Backward passes with mistakes of their loops, and with another value of the same shape in one place.

Words through a GRU, read out all at once; two directions; an encoder whose last state a decoder sees at every step; an
LSTM of one sequence. Of each mistake: the line, what was written, what it is, and what the diagnosis has to say of it.
"""

import inspect
from typing import Any

import numpy as np

import tinygrad_rnn as tg

F = tg.nn.functional
# fmt: off

def sigmoid(a):
    return 1 / (1 + np.exp(-a))
def arrays(seed: int, shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {k: rng.normal(size=s)*0.7 for k, s in shapes.items()}


# Words through a GRU whose state is n + z (h - n), all steps read out by one product ------------------------------


WORDS = {"E": (7, 3), "Wz": (7, 4), "bz": (4,), "Wn": (7, 4), "bn": (4,), "Wy": (4, 7), "by": (7,)}
TOKENS = np.array([1, 4, 2, 6, 4, 3])


def words_loss(p):
    h, states = tg.zeros(1, 4, dtype=tg.float64), []
    for t in range(5):
        x = p["E"][TOKENS[t:t+1]]
        hx = tg.cat([h, x], 1)
        z = tg.sigmoid(hx @ p["Wz"] + p["bz"])
        n = tg.tanh(hx @ p["Wn"] + p["bn"])
        h = n + z * (h - n)
        states.append(h)
    scores = tg.cat(states, 0) @ p["Wy"] + p["by"]
    return F.cross_entropy(scores, tg.tensor(TOKENS[1:]))


def words(p):
    T = 5
    h, cache = np.zeros((1, 4)), []
    for t in range(T):
        x = p["E"][TOKENS[t:t+1]]
        hx = np.concatenate([h, x], 1)
        z = sigmoid(hx @ p["Wz"] + p["bz"])
        n = np.tanh(hx @ p["Wn"] + p["bn"])
        h_prev, h = h, (1 - z) * n + z * h
        y = np.exp(h @ p["Wy"] + p["by"])
        cache.append((x, hx, z, n, h_prev, h, y / y.sum()))
    d = {k: np.zeros_like(v) for k, v in p.items()}
    dh_next = np.zeros((1, 4))
    for t in reversed(range(T)):
        x, hx, z, n, h_prev, h, y = cache[t]
        dy = y.copy()
        dy[0, TOKENS[t+1]] -= 1
        dy /= T
        d["Wy"] += h.T @ dy
        d["by"] += dy.sum(0)
        dh = dy @ p["Wy"].T + dh_next
        dn = dh * (1 - z)
        dz = dh * h_prev - dh * n
        dan = dn * (1 - n * n)
        daz = dz * z * (1 - z)
        d["Wn"] += hx.T @ dan
        d["bn"] += dan.sum(0)
        d["Wz"] += hx.T @ daz
        d["bz"] += daz.sum(0)
        dhx = dan @ p["Wn"].T + daz @ p["Wz"].T
        d["E"][TOKENS[t]] += dhx[0, 4:]
        dh_next = dhx[:, :4] + dh * z
    return d


# Two directions, their states side by side, and a product with a bias in one call ---------------------------------


BOTH = {"Wf": (2, 3), "Uf": (3, 3), "bf": (3,), "Wb": (2, 3), "Ub": (3, 3), "bb": (3,), "V": (2, 6), "c": (2,)}
rng = np.random.default_rng(11)
BX, BY = rng.normal(size=(5, 2, 2)), rng.normal(size=(5, 2, 2))


def both_loss(p):
    f, b, fs, bs, loss = tg.zeros(2, 3, dtype=tg.float64), tg.zeros(2, 3, dtype=tg.float64), [], {}, 0
    for t in range(5):
        f = tg.tanh(tg.tensor(BX[t]) @ p["Wf"] + f @ p["Uf"] + p["bf"])
        fs.append(f)
    for t in reversed(range(5)):
        b = tg.tanh(tg.tensor(BX[t]) @ p["Wb"] + b @ p["Ub"] + p["bb"])
        bs[t] = b
    for t in range(5):
        y = F.linear(tg.cat([fs[t], bs[t]], 1), p["V"], p["c"])
        loss = loss + ((tg.tanh(y) - tg.tensor(BY[t])) ** 2).sum()
    return loss / 5


def both(p):
    T = 5
    f, b, fs, bs = {-1: np.zeros((2, 3))}, {T: np.zeros((2, 3))}, [], []
    for t in range(T):
        f[t] = np.tanh(BX[t] @ p["Wf"] + f[t-1] @ p["Uf"] + p["bf"])
        fs.append(f[t])
    for t in reversed(range(T)):
        b[t] = np.tanh(BX[t] @ p["Wb"] + b[t+1] @ p["Ub"] + p["bb"])
        bs.append(b[t])
    d = {k: np.zeros_like(v) for k, v in p.items()}
    df, db = {}, {}
    for t in range(T):
        s = np.concatenate([f[t], b[t]], 1)
        q = s @ p["V"].T
        y = q + p["c"]
        u = np.tanh(y)
        dy = 2 * (u - BY[t]) * (1 - u * u) / T
        d["V"] += dy.T @ s
        d["c"] += dy.sum(0)
        ds = dy @ p["V"]
        df[t], db[t] = ds[:, :3], ds[:, 3:]
    carry = np.zeros((2, 3))
    for t in reversed(range(T)):
        da = (df[t] + carry) * (1 - f[t] ** 2)
        d["Wf"] += BX[t].T @ da
        d["Uf"] += f[t-1].T @ da
        d["bf"] += da.sum(0)
        carry = da @ p["Uf"].T
    carry = np.zeros((2, 3))
    for t in range(T):
        da = (db[t] + carry) * (1 - b[t] ** 2)
        d["Wb"] += BX[t].T @ da
        d["Ub"] += b[t+1].T @ da
        d["bb"] += da.sum(0)
        carry = da @ p["Ub"].T
    return d


# An encoder whose last state a decoder sees at every step ----------------------------------------------------------


PLAN = {"We": (2, 3), "Ue": (3, 3), "Wd": (2, 3), "Ud": (3, 3), "Cd": (3, 3), "O": (3, 2)}
SX, SY = rng.normal(size=(4, 2, 2)), rng.normal(size=(5, 2, 2))


def plan_loss(p):
    h = tg.zeros(2, 3, dtype=tg.float64)
    for t in range(4):
        h = tg.tanh(tg.tensor(SX[t]) @ p["We"] + h @ p["Ue"])
    context, s, loss = h, h, 0
    for t in range(4):
        s = tg.tanh(tg.tensor(SY[t]) @ p["Wd"] + s @ p["Ud"] + context @ p["Cd"])
        o = s @ p["O"]
        loss = loss + ((o - tg.tensor(SY[t+1])) ** 2).mean()
    return loss


def plan(p):
    T, N = 4, 4
    h = {-1: np.zeros((2, 3))}
    for t in range(T):
        h[t] = np.tanh(SX[t] @ p["We"] + h[t-1] @ p["Ue"])
    context, s, o = h[T-1], {-1: h[T-1]}, {}
    for t in range(N):
        s[t] = np.tanh(SY[t] @ p["Wd"] + s[t-1] @ p["Ud"] + context @ p["Cd"])
        o[t] = s[t] @ p["O"]
    d = {k: np.zeros_like(v) for k, v in p.items()}
    dcontext, ds = np.zeros((2, 3)), np.zeros((2, 3))
    for t in reversed(range(N)):
        do = 2 * (o[t] - SY[t+1]) / 4
        d["O"] += s[t].T @ do
        ds = ds + do @ p["O"].T
        da = ds * (1 - s[t] ** 2)
        d["Wd"] += SY[t].T @ da
        d["Ud"] += s[t-1].T @ da
        d["Cd"] += context.T @ da
        dcontext += da @ p["Cd"].T
        ds = da @ p["Ud"].T
    dh = ds + dcontext
    for t in reversed(range(T)):
        da = dh * (1 - h[t] ** 2)
        d["We"] += SX[t].T @ da
        d["Ue"] += h[t-1].T @ da
        dh = da @ p["Ue"].T
    return d


# An LSTM of one sequence, a matrix for each gate -------------------------------------------------------------------


CELL = {f"{k}{g}": s for g in "ifgo" for k, s in (("W", (3, 5)), ("b", (3,)))} | {"v": (3,)}
CX, CY = rng.normal(size=(6, 2)), rng.normal(size=6)


def cell_loss(p):
    h, c, loss = tg.zeros(3, dtype=tg.float64), tg.zeros(3, dtype=tg.float64), 0
    for t in range(6):
        z = tg.cat([tg.tensor(CX[t]), h])
        i = tg.sigmoid(p["Wi"] @ z + p["bi"])
        f = tg.sigmoid(p["Wf"] @ z + p["bf"])
        g = tg.tanh(p["Wg"] @ z + p["bg"])
        o = tg.sigmoid(p["Wo"] @ z + p["bo"])
        c = f * c + i * g
        h = o * tg.tanh(c)
        e = (p["v"] * h).sum() - CY[t]
        loss = loss + 0.5 * e * e
    return loss


def cell(p):
    T, n = 6, 3
    h, c, cache = np.zeros(n), np.zeros(n), []
    for t in range(T):
        z = np.concatenate([CX[t], h])
        i = sigmoid(p["Wi"] @ z + p["bi"])
        f = sigmoid(p["Wf"] @ z + p["bf"])
        g = np.tanh(p["Wg"] @ z + p["bg"])
        o = sigmoid(p["Wo"] @ z + p["bo"])
        c_prev, c = c, f * c + i * g
        tc = np.tanh(c)
        h = o * tc
        e = p["v"] @ h - CY[t]
        cache.append((z, i, f, g, o, c_prev, c, tc, h, e))
    d = {k: np.zeros_like(v) for k, v in p.items()}
    dh_next, dc_next = np.zeros(n), np.zeros(n)
    for t in reversed(range(T)):
        z, i, f, g, o, c_prev, c, tc, h, e = cache[t]
        d["v"] += e * h
        dh = e * p["v"] + dh_next
        do = dh * tc
        dc = dh * o * (1 - tc * tc) + dc_next
        di, df, dg = dc * g, dc * c_prev, dc * i
        da = {"i": di * i * (1 - i), "f": df * f * (1 - f), "g": dg * (1 - g * g), "o": do * o * (1 - o)}
        for k in "ifgo":
            d["W" + k] += np.outer(da[k], z)
            d["b" + k] += da[k]
        dz = sum(p["W" + k].T @ da[k] for k in "ifgo")
        dh_next = dz[2:]
        dc_next = dc * f
    return d


STYLES = {
    "words": (1, WORDS, words_loss, words), "both": (2, BOTH, both_loss, both),
    "plan": (3, PLAN, plan_loss, plan), "cell": (4, CELL, cell_loss, cell),
}


def loss_of(style: str) -> tg.Tensor:
    """The engine's loss."""
    seed, shapes, loss, _ = STYLES[style]
    return loss({k: tg.tensor(v, requires_grad=True, name=k) for k, v in arrays(seed, shapes).items()})


def gradients(style: str, old: str = "", new: str = "") -> dict[str, Any]:
    """What the backward pass gives, a line of it written otherwise."""
    seed, shapes, _, backward = STYLES[style]
    source = inspect.getsource(backward)
    assert old in source
    names = dict(globals())
    exec(source.replace(old, new, 1), names)
    return names[backward.__name__](arrays(seed, shapes))


#: (style, the line, what was written, what that is, what is said of it; "" where no single edit is found)
MISTAKES = [
    ('words', "dy[0, TOKENS[t+1]] -= 1", "dy[0, TOKENS[t]] -= 1", "this word as target",
     "Once, what scores receives from cross_entropy(scores) uses the numbers in x where the right ones belong"),
    ('words', "dy[0, TOKENS[t+1]] -= 1", "dy[0, TOKENS[min(t+2, T)]] -= 1", "the target after",
     "uses the numbers of the targets of the step after where the right ones belong"),
    ('words', "dy[0, TOKENS[t+1]] -= 1", "dy[0, TOKENS[T]] -= 1", "the last target at every step",
     "uses the numbers of the targets of the last step where the right ones belong"),
    ('words', "d[\"E\"][TOKENS[t]]", "d[\"E\"][TOKENS[t+1]]", "the target's row",
     "At every step, what E receives from x uses the numbers of the targets where the right ones belong"),
    ('words', "d[\"E\"][TOKENS[t]]", "d[\"E\"][TOKENS[:T][t-1]]", "the row of the word before",
     "At every step, what E receives from E_t uses the numbers in E_t of the step before, of the last at the first (index −1) where the right ones belong"),
    ('words', "d[\"E\"][TOKENS[t]] +=", "d[\"E\"][TOKENS[t]] =", "rows overwritten",
     "A row of E that is looked up again has only what was written there last: it was overwritten"),
    ('words', "d[\"Wn\"] += hx.T", "d[\"Wn\"] += np.concatenate([x, h_prev], 1).T", "[x; h] for [h; x]",
     "At every step, what Wn receives from hx @ Wn uses hx with its parts in the other order"),
    ('words', "d[\"Wn\"] += hx.T", "d[\"Wn\"] += np.concatenate([h, x], 1).T", "h for h_prev",
     "At every step, what Wn receives from hx @ Wn uses hx with h of the step after in the place of h"),
    ('words', "dz = dh * h_prev - dh * n", "dz = dh * h_prev", "second term of dz",
     "At every step, what z receives from z ⊙ (h − n) uses h of the step before where h − n belongs"),
    ('words', "dz = dh * h_prev - dh * n", "dz = dh * h - dh * n", "h for h_prev in dz",
     "At every step, what z receives from z ⊙ (h − n) uses z ⊙ (h − n) where h − n belongs"),
    ('words', "dz = dh * h_prev - dh * n", "dz = dh * h_prev + dh * n", "sign in dz",
     "At every step, what z receives from z ⊙ (h − n) has + for − in (h − n)"),
    ('words', "dn = dh * (1 - z)", "dn = dh * z", "z for 1 - z",
     "At every step, what (hx @ Wn) + bn receives from n comes from the gradient of h − n"),
    ('words', "dn = dh * (1 - z)", "dn = dh", "1 - z forgotten",
     "At every step, what n receives from h − n is missing"),
    ('words', "dhx[:, :4] + dh * z", "dhx[:, :4] + dh * (1 - z)", "1 - z for z",
     ""),
    ('words', "dhx[:, :4] + dh * z", "dhx[:, :4] + dh", "z forgotten",
     "At every step, in what h receives from h − n of the next step the derivative at z ⊙ (h − n) is forgotten"),
    ('words', "d[\"Wy\"] += h.T", "d[\"Wy\"] = h.T", "= for += of Wy",
     "At every step but the first, what Wy receives from (all h) @ Wy is missing"),
    ('words', "d[\"by\"] +=", "d[\"by\"] =", "= for += of by",
     "Once, what by receives from scores is not un-broadcast: the first row instead of the sum over the batch"),
    ('words', "d[\"Wy\"] += h.T", "d[\"Wy\"] += h_prev.T", "h_prev for h in Wy",
     "Once, what Wy receives from (all h) @ Wy uses itself along axis 0 of the step before, 0 at the first"),
    ('words', "d[\"Wy\"] += h.T", "d[\"Wy\"] += cache[-1][5].T", "stale h in Wy",
     "Once, what Wy receives from (all h) @ Wy uses itself along axis 0 of the last step"),
    ('words', "reversed(range(T))", "reversed(range(T-1))", "last step skipped",
     "The last step is left out, as by a loop over one step too few: nothing leaves it, nor is its part of what is made of all steps at once"),
    ('words', "reversed(range(T))", "range(T-1, 0, -1)", "first step skipped",
     "The first step is left out, as by a loop over one step too few: nothing leaves it, nor is its part of what is made of all steps at once"),
    ('words', "d[\"Wy\"] += h.T @ dy", "if t: d[\"Wy\"] += h.T @ dy", "first step skipped for Wy",
     "At the first step only, what Wy receives from (all h) @ Wy is missing"),
    ('both', "(1 - u * u)", "(1 - np.tanh(q) ** 2)", "before its bias",
     "Once, at tanh(y) the derivative of tanh uses tanh(y) with y before its bias in the place of y"),
    ('both', "d[\"V\"] += dy.T @ s", "d[\"V\"] += dy.T @ np.concatenate([f[t], bs[t]], 1)", "computed order",
     "At every step, what V receives from y uses [f, b] with b counted from the other end in the place of b"),
    ('both', "d[\"V\"] += dy.T @ s", "d[\"V\"] += dy.T @ np.concatenate([b[t], f[t]], 1)", "[b; f]",
     "At every step, what V receives from y uses [f, b] with its parts in the other order"),
    ('both', "d[\"Ub\"] += b[t+1].T", "d[\"Ub\"] += b[t-1 if t else T].T", "two steps away",
     "At every step, what Ub receives from b @ Ub uses b of two steps after, 0 at the last where b belongs"),
    ('both', "d[\"Ub\"] += b[t+1].T", "d[\"Ub\"] += bs[t].T", "Ub with computed order",
     "At every step, what Ub receives from b @ Ub uses b of the step before, counted from the other end"),
    ('both', "d[\"Ub\"] += b[t+1].T", "d[\"Ub\"] += f[t-1].T", "the other direction's state",
     "At every step, what Ub receives from b @ Ub uses f of the step before, counted from the other end where b belongs"),
    ('both', "(1 - b[t] ** 2)", "(1 - bs[t] ** 2)", "tanh' in computed order",
     "At every step, at b the derivative of tanh uses b counted from the other end"),
    ('both', "(1 - b[t] ** 2)", "(1 - f[t] ** 2)", "tanh' of the other direction",
     "At every step, at b the derivative of tanh uses f counted from the other end"),
    ('both', "df[t], db[t] = ds[:, :3], ds[:, 3:]", "df[t], db[t] = ds[:, :3], ds[:, :3]", "the wrong half",
     "At every step, what b receives from [f, b] is cut out from place 0 on, not from 3"),
    ('both', "df[t], db[t] = ds[:, :3], ds[:, 3:]", "df[t], db[T-1-t] = ds[:, :3], ds[:, 3:]", "db in the other order",
     "What b receives from [f, b] arrives in reverse order"),
    ('both', "d[\"Wb\"] += BX[t].T", "d[\"Wb\"] += BX[T-1-t].T", "x in the other order",
     "At every step, what Wb receives from BX[t] @ Wb uses BX[t], number 2 counted from the other end"),
    ('both', "2 * (u - BY[t])", "2 * (u - BY[t-1])", "the target before",
     "At every step, what tanh(y) − BY[t] receives from (tanh(y) − BY[t])^2 uses (tanh(y) − BY[t]) with BY[t] of the step before, of the last at the first (index −1) in the place of BY[t]"),
    ('both', "2 * (u - BY[t])", "2 * (u - BX[t])", "the input as target",
     "At every step, what tanh(y) − BY[t] receives from (tanh(y) − BY[t])^2 uses (tanh(y) − BY[t]) with BX[t] in the place of BY[t]"),
    ('both', "2 * (u - BY[t])", "2 * (y - BY[t])", "y for u",
     "At every step, what tanh(y) − BY[t] receives from (tanh(y) − BY[t])^2 uses (tanh(y) − BY[t]) with y in the place of tanh(y)"),
    ('plan', "d[\"Cd\"] += context.T", "d[\"Cd\"] += h[T-2].T", "the encoder's state before its last",
     "At every step, what Cd receives from h @ Cd uses h of the step before"),
    ('plan', "d[\"Cd\"] += context.T", "d[\"Cd\"] += h[t].T", "the encoder's state of this step",
     "At every step, what Cd receives from h @ Cd uses h where h belongs"),
    ('plan', "d[\"Cd\"] += context.T", "d[\"Cd\"] += s[t-1].T", "the decoder's state",
     "Cd was given the gradient of Ud"),
    ('plan', "dh = ds + dcontext\n    for t in reversed(range(T)):\n        da = dh", "dh = ds\n    for t in reversed(range(T)):\n        da = (dh + dcontext)", "context's gradient at every step",
     "What h of step 4 receives from h @ Cd arrives at every step"),
    ('plan', "dh = ds + dcontext", "dh = dcontext", "first decoder state's gradient lost",
     "At the first step only, what s receives from s @ Ud of the next step is missing"),
    ('plan', "dcontext += da", "dcontext = da", "= for += of the context",
     "At every step but the first, what h receives from h @ Cd is missing"),
    ('plan', "for t in reversed(range(T)):\n        da", "for t in reversed(range(T-1)):\n        da", "the encoder's last step skipped",
     "The last step is left out, as by a loop over one step too few: nothing leaves it, and what was carried to it is handed on as it is"),
    ('plan', "(1 - h[t] ** 2)", "(1 - h[T-1] ** 2)", "stale h in tanh'",
     "At every step, at h the derivative of tanh uses h of the last step"),
    ('plan', "d[\"Wd\"] += SY[t].T", "d[\"Wd\"] += SY[t+1].T", "the target as input",
     "At every step, what Wd receives from SY[t] @ Wd uses SY[t+1] where SY[t] belongs"),
    ('plan', "d[\"Ud\"] += s[t-1].T", "d[\"Ud\"] += h[t-1].T", "the encoder's state",
     "At every step, what Ud receives from s @ Ud uses h of the step before where s belongs"),
    ('plan', "d[\"O\"] += s[t].T @ do", "d[\"O\"] = s[t].T @ do", "= for +=",
     "At every step but the first, what O receives from o is missing"),
    ('cell', "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]", "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]\n        o = cache[-1][4]", "stale o",
     "Every saved o has become the last one: one buffer was used for all steps"),
    ('cell', "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]", "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]\n        z = cache[-1][0]", "stale z",
     "At every step, every rule of its own step that needs z uses z of the last step"),
    ('cell', "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]", "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]\n        i, f, g, o = cache[-1][1:5]", "stale gates",
     "At every step, every rule of their own step uses i, f, g, o of the last step"),
    ('cell', "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]", "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]\n        e = cache[-1][-1]", "stale e",
     "At every step, every rule of its own step that needs e uses e of the last step"),
    ('cell', "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]", "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]\n        c_prev = cache[-1][5]", "stale c_prev",
     "At every step, what f receives from f ⊙ c uses c of the last step but one"),
    ('cell', "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]", "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]\n        for k in \"ifgo\": d[\"W\" + k][:], d[\"b\" + k][:] = 0, 0", "accumulators reset",
     "At every step but the first, what every weight of cell receives is missing"),
    ('cell', "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]", "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]\n        for k in \"ifgo\": d[\"W\" + k][:] = 0", "accumulators of W reset",
     "At every step but the first, what every matrix receives is missing"),
    ('cell', "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]", "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]\n        dc_next = np.zeros(n)", "dc_next reset",
     "At every step, what c receives from f ⊙ c of the next step is missing"),
    ('cell', "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]", "z, i, f, g, o, c_prev, c, tc, h, e = cache[t]\n        dh_next, dc_next = np.zeros(n), np.zeros(n)", "both carries reset",
     "At every step, all that c and h receive from the step after it is missing"),
    ('cell', "for k in \"ifgo\":\n            d", "for k in \"ifgo\" if t else \"\":\n            d", "first step skipped for all gates",
     "The first step is left out, as by a loop over one step too few: nothing leaves it"),
    ('cell', "for k in \"ifgo\":\n            d", "for k in \"ifgo\" if t < T-1 else \"\":\n            d", "last step skipped for all gates",
     "At the last step only, what every weight of cell receives is missing"),
    ('cell', "for k in \"ifgo\":\n            d", "for k in \"ifg\":\n            d", "Wo and bo forgotten",
     "At every step, what each of Wo, bo receives is missing"),
    ('cell', "dz = sum(p[\"W\" + k].T @ da[k] for k in \"ifgo\")", "dz = sum(p[\"W\" + k].T @ da[k] for k in \"ifg\")", "o forgotten in dz",
     "At every step, what z receives from Wo @ z is missing"),
    ('cell', "dz[2:]", "dz[:3]", "the wrong slice",
     "At every step, what h receives from z of the next step is cut out from place 0 on, not from 2"),
    ('cell', "reversed(range(T))", "reversed(range(T-1))", "last step skipped",
     "The last step is left out, as by a loop over one step too few: nothing leaves it"),
    ('cell', "reversed(range(T))", "range(T-1, 0, -1)", "first step skipped",
     "The first step is left out, as by a loop over one step too few: nothing leaves it"),
    ('cell', "reversed(range(T))", "range(T)", "forward order",
     "The time steps are visited in forward order: c and h receive the carry of the step before instead of the step after"),
    ('cell', "dc = dh * o", "dc = (dh - dh_next) * o", "dc before the carry",
     "At every step, what c receives from tanh(c) leaves out the part that came from z of the next step: it was computed before that part was added"),
    ('cell', "do = dh * tc", "do = dh * np.tanh(c_prev)", "tanh of c_prev",
     "At every step, what o receives from h uses tanh(c) of the step before"),
    ('cell', "do = dh * tc", "do = dh * c", "c for tanh c",
     "At every step, what o receives from h uses c where tanh(c) belongs"),
    ('cell', "dg * (1 - g * g)", "dg * (1 - i * i)", "i for g",
     "At every step, at g the derivative of tanh uses i"),
    ('cell', "dg * (1 - g * g)", "dg * (1 - tc * tc)", "tc for g",
     "At every step, at g the derivative of tanh uses tanh(c)"),
    ('cell', "dg * (1 - g * g)", "do * (1 - g * g)", "do for dg",
     "At every step, what (Wg @ z) + bg receives from g comes from the gradient of o"),
    ('cell', "dg * (1 - g * g)", "dc * (1 - g * g)", "dc for dg",
     "At every step, what g receives from i ⊙ g lacks the factor i"),
    ('cell', "np.outer(da[k], z)", "np.outer(da[k], np.r_[CX[t], h])", "h for h_prev in W",
     "At every step, every rule of its own step that needs z uses z with h of the step after in the place of h"),
    ('cell', "np.outer(da[k], z)", "np.outer(da[k], np.r_[z[2:], z[:2]])", "[h; x] for [x; h]",
     "At every step, every rule of its own step that needs z uses z with its parts in the other order"),
]
