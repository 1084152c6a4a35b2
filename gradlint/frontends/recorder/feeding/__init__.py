"""Building a model and finding inputs for it, without being told how."""
