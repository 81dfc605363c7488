"""Installed as ``viz.py``: the short name of `tinygrad_rnn.viz`. A package that is called viz goes before it."""

from tinygrad_rnn.module_aliases import enter

enter()
