"""Front-ends: what the user has, turned into a model graph."""
