"""The delivery format ``.ekz``: a file as small as it gets for its way to a device, and byte for byte itself again there."""

from edgekit.packing.files import pack, unpack

__all__ = ["pack", "unpack"]
