"""LiteRT's reference int8 kernels as functions of torch tensors, equal in every bit, and the graph executed with them."""
