"""The backward pass as a picture: every box's gradient box, and every edge the other way round.

Backpropagation sends, along each edge of the graph and against its direction, one contribution. So the drawn
backward graph is the forward graph's mirror image: from the total loss back to the weights, right to left through
the states. The boxes' numbers are what the engine's reverse walk found.
"""

from __future__ import annotations

from dataclasses import replace

from .detail_levels import Box, Edge, Level
from .gradient_values import Gradients


def mirrored(level: Level, gradients: Gradients) -> Level:
    """``level`` with its backward graph added: keys of gradient boxes begin with "∂"."""
    boxes = list(level.boxes)
    image: dict[int, int] = {}
    for i, box in enumerate(level.boxes):
        if any(member in gradients.of for member in box.members):
            image[i] = len(boxes)
            kind = {"cell": "backward", "parameter": "share"}.get(box.kind, "gradient")
            boxes.append(Box(("∂", *box.key), box.column, kind, box.main, list(box.members), box.before))
    edges = list(level.edges)
    for e in level.edges:
        if e.source in image and e.target in image and _flows(e, gradients):
            edges.append(Edge(image[e.target], image[e.source], "gradient", list(e.uses)))
    edges += [Edge(i, image[i], "uses") for i, box in enumerate(level.boxes) if box.kind == "cell" and i in image]
    return replace(level, boxes=boxes, edges=edges)


def _flows(edge: Edge, gradients: Gradients) -> bool:
    """Whether the walk sent a contribution along this edge."""
    return any(source in gradients.of and target in gradients.of for source, target, _ in edge.uses)
