"""The operator table: what users write in PyTorch, family by family, each form a row that is built for every target."""
