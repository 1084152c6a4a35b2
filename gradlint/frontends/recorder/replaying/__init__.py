"""Running the training step that a file itself shows, cut down to what its backward calls need."""
