"""Python's own values and library, as far as programs build models with them."""
