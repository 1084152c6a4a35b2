"""The recorder: runs a model once on small real tensors and writes down every value, op and frame (needs torch)."""
