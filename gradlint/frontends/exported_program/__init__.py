"""The front-end for programs that torch.export wrote: read from their JSON, without torch and without any pickle."""
