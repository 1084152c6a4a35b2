"""What was evaluated, as nodes and edges with their gradient facts."""
