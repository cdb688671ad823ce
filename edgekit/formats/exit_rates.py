"""What a file with early exits says of itself: how many samples left at each exit when it was made."""

from __future__ import annotations

import json
from dataclasses import dataclass

#: Key in a TFLite file's metadata and in an ONNX file's metadata_props.
EXITS_KEY = "edgekit.exits/1"


@dataclass(frozen=True)
class ExitRates:
    """Shares of samples by the exit that answered them, the whole network last.

    Attributes:
        rates: they add up to 1.
        samples: of how many.
        on: "file" (the evaluation data, through the file itself), "evaluation" (through the float graph), or "held_out" of the
            training data.
    """

    rates: tuple[float, ...]
    samples: int
    on: str

    def encode(self) -> bytes:
        """As JSON; the same rates give the same bytes."""
        content = {"on": self.on, "rates": [round(rate, 6) for rate in self.rates], "samples": self.samples}
        return json.dumps(content, separators=(",", ":")).encode()

    @staticmethod
    def decode(content: bytes | str | None) -> ExitRates | None:
        """What `encode` wrote; None for anything else."""
        try:
            found = json.loads(content or "")
            rates = tuple(float(rate) for rate in found["rates"])
            return ExitRates(rates, int(found["samples"]), str(found["on"]))
        except (ValueError, KeyError, TypeError):
            return None
