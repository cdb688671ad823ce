"""A causal network on windows becomes one on frames that keeps what it needs of the past as states."""

from edgekit.streaming.conversion import to_frames

__all__ = ["to_frames"]
