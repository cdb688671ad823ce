"""PyTorch modules and exported programs become graphs, through ``torch.export``."""
