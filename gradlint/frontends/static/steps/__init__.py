"""Training steps, made of the events of a run."""
