"""Pictures of a graph: which boxes, where they stand, how the lines run, and the files that come of it."""
