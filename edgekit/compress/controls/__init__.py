"""What a pruned network is compared with: the same architecture, trained from scratch."""

from edgekit.compress.controls.settings import Controls

__all__ = ["Controls"]
