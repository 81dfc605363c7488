"""The whole lecture as one page: every topic with its pictures, its numbers and the program that made them."""

from .making import build
from .topics import TOPICS, Topic

__all__ = ["TOPICS", "Topic", "build"]
