"""The graph of an `.onnx` file; nothing of it is executed, and data beside it stay on disk."""
