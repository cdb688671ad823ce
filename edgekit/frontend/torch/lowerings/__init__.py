"""One file per family of ATen ops; ``edgekit.frontend.torch.table`` imports them all."""
