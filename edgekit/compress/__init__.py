"""Compression steps: they change the function of a graph, and report what that cost and gained."""
