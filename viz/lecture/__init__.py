"""The lecture on one page: every topic in a lecture's order, each made by a program that is printed beside it."""

from tinygrad_rnn.arguments import answering

from .building import build, figure
from .topics import TOPICS, Topic
from .translation import Translation

__all__ = ["TOPICS", "Topic", "Translation", "build", "figure"]


answering(globals())
