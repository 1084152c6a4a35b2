"""Shapes and dtypes of results, where they follow from what is known."""
