"""Model graphs and training steps read from source; nothing is executed and no framework is needed."""
