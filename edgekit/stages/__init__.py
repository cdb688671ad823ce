"""The parts of the flow, one a file: what a build does to a graph, an artifact and its data, in the order in which flow.py
calls them.
"""
