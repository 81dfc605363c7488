"""The graph goes out: what is written here, for the engines where the work is done."""
