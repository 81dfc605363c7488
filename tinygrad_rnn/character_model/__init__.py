"""Character models: text as numbers, the model, its training and its checkpoints."""
