"""The no-op build: what a build depended on is recorded, and an unchanged one is recognised without heavy imports."""

from edgekit.fingerprint.depfile import write_depfile
from edgekit.fingerprint.record import BuildRecord, is_up_to_date, touch_outputs

__all__ = ["BuildRecord", "is_up_to_date", "touch_outputs", "write_depfile"]
