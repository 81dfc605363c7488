"""The lecture on one page: every topic in a lecture's order, each made by a program that is printed beside it."""

from .labels import Labels
from .making import build, figure
from .topics import TOPICS, Topic

__all__ = ["TOPICS", "Labels", "Topic", "build", "figure"]
