"""The files we write are those that docs/formats describes, and what is damaged is refused in one line."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import safetensors
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

import tinygrad_rnn as tg
from tinygrad_rnn.bptt.recording import Trace, record
from tinygrad_rnn.character_model import checkpoint
from tinygrad_rnn.character_model.training import Settings, Trainer
from tinygrad_rnn.sequence_patterns import build

ROOT = Path(__file__).parent.parent
SCHEMAS = {path.name.partition("-")[0]: json.loads(path.read_text()) for path in (ROOT / "docs/formats").glob("*.json")}
REGISTRY = Registry().with_resources((s["$id"], Resource.from_contents(s)) for s in SCHEMAS.values())


def judged(name, data, part=None):
    """What the schema has against ``data``."""
    schema = {**SCHEMAS[name], **(part or {})}
    return [error.message for error in Draft202012Validator(schema, registry=REGISTRY).iter_errors(data)]


def metadata(path):
    with safetensors.safe_open(str(path), framework="numpy") as content:
        return json.loads(content.metadata()["tinygrad_rnn"])


@pytest.fixture(scope="module")
def files():
    """A graph and a walk as JSON text, with settings of every kind in them."""
    loss = build("many-to-many", "lstm", 2, 2, 1)
    x = tg.ones(3, 3, requires_grad=True)
    loss = loss + (x[..., 1:, [0, 1]] * x[None, :2, :2].astype("float64")).amax(1).pad((1, 0)).sum().astype("float32")
    return {"graph": tg.Graph(loss).to_json(), "walk": record(loss).to_json()}


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_schemas_are_schemas(name):
    Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("name", ["graph", "walk"])
def test_graphs_and_walks(name, files):
    assert not judged(name, json.loads(files[name]))
    assert not judged(name, json.loads((ROOT / f"tests/data/{name}-0.1.0.json").read_text()))


def test_checkpoints(tmp_path):
    trainer = Trainer("hello world. " * 30, Settings(cell="rnn", hidden=3, embedding=2, batch=2, length=5))
    checkpoint.save(trainer, tmp_path / "a.ckpt")
    facts = metadata(tmp_path / "a.ckpt")
    assert not judged("checkpoint", facts)
    assert not judged("checkpoint", metadata(ROOT / "tests/data/checkpoint-0.1.0.ckpt"))
    assert list(SCHEMAS["checkpoint"]["properties"]["settings"]["properties"]) == [
        each.name for each in fields(Settings)
    ]
    assert judged("checkpoint", {key: value for key, value in facts.items() if key != "sha256"})


def test_saved_values(tmp_path):
    tg.save({"a": [tg.ones(2), (1, "x", None, 2.5)], 3: np.ones(2)}, tmp_path / "v.safetensors")
    facts = metadata(tmp_path / "v.safetensors")
    assert not judged("values", facts)
    outline = {"$ref": "#/$defs/outline", "type": ["array", "object"], "properties": {}, "required": []}
    assert not judged("values", json.loads(facts["outline"]), outline)
    assert judged("values", ["set", []], outline)


VALUES = [
    None, -1, 10**30, 10**9, 1e400, float("nan"), "x", [], {}, True, {"node": 0}, {"tuple": []}, {"slice": [1]}, "|O",
    {"array": "O", "shape": [], "hex": "00"}, {"array": "<f4", "shape": [10**9], "hex": ""}, "\ud800",
]  # fmt: skip


def places(data, path=()):
    """Every place in nested JSON."""
    yield path
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield from places(data[key], (*path, key))


@pytest.mark.parametrize("name, load", [("graph", tg.Graph.from_json), ("walk", Trace.from_json)])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_damage_is_one_line(name, load, files):
    """Something else at one place: it still makes sense, or is refused; the schema knows most of that."""
    whole, rng = json.loads(files[name]), np.random.default_rng(0)
    schema = Draft202012Validator(SCHEMAS[name], registry=REGISTRY)
    everywhere, refused, known = list(places(whole))[1:], 0, 0
    for k in rng.choice(len(everywhere), 40):
        data, path = json.loads(files[name]), everywhere[k]
        parent = data
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = VALUES[rng.integers(len(VALUES))]
        try:
            load(json.dumps(data))
        except tg.DataError as error:
            assert "\n" not in str(error) and len(str(error)) < 500
            refused, known = refused + 1, known + (not schema.is_valid(data))
    assert known >= 0.6 * refused > 15


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"op": "nope"}, "'nope', which is no operation known here"),
        ({"op": 3}, "which is no operation known here"),
        ({"dtype": "<f8"}, "says that it is .* float64, but is .* float32"),
        ({"op": None}, "'value' is missing"),
        ({"op": None, "value": 1}, "its value is no array"),
        ({"scope": [1]}, "is not a list of path"),
    ],
)
def test_what_is_wrong_with_a_graph_is_said(changes, said, files):
    data = json.loads(files["graph"])
    data["nodes"][-1].update(changes)
    with pytest.raises(tg.DataError, match=said):
        tg.Graph.from_json(json.dumps(data))
    with pytest.raises(tg.DataError, match=r"does not say that it is tinygrad_rnn\.graph/1"):
        tg.Graph.from_json("[]")


def test_steps_beyond_reason_are_refused(files):
    data = json.loads(files["graph"])
    data["nodes"][-1]["scope"][1] = 10**30
    with pytest.raises(tg.DataError, match="a name or the scope of node"):
        tg.Graph.from_json(json.dumps(data))
