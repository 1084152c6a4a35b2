"""What is computed once a graph and asked for by many rules."""
