"""Diagrams of networks as SVG, laid out and drawn here: no Graphviz, no scripts, no fonts to load."""

from edgekit.diagram.svg import Box, draw

__all__ = ["Box", "draw"]
