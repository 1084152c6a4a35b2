"""PyTorch as the evaluator sees it: functions, tensors, layers, optimizers, training, and the libraries around it."""
