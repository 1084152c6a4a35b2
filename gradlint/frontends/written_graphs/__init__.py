"""Model graphs handed out in the form of other libraries: a `torch.fx.Graph`, an ONNX model."""
