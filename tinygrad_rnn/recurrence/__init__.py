"""Repetition: a loop recorded once, `scan`, and the repetitions that are found in a graph nobody labelled."""
