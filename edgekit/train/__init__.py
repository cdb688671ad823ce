"""Training of graphs: the loop for people who bring data and no loop, what it minimises, and its data.

Light: nothing here imports torch until it trains.
"""

from edgekit.train.settings import Training

__all__ = ["Training"]
