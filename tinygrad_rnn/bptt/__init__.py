"""Backpropagation through time: a reverse walk recorded, saved, and measured; nothing here draws."""
