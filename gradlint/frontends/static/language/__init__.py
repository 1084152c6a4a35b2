"""The syntax of Python: what expressions give, what statements change, what calls run."""
