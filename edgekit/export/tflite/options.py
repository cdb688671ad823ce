"""What the caller decides about a TFLite file, beyond what the graph says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgekit.formats.io_metadata import Layout, Preprocessing
from edgekit.target import Target

#: The name that LiteRT itself gives to a model's only entry: a call needs no search for it.
DEFAULT_SIGNATURE = "<placeholder signature>"


@dataclass(frozen=True)
class TfliteOptions:
    """Options of one file. How values are quantised is not among them: the graph says it.

    Attributes:
        batch: the number of samples that one call takes.
        float16: store float weights in 16 bits; the runtime expands them when it loads the file.
        micro: the file is for TFLite Micro; what that lacks is refused.
        larq: the file is for Larq Compute Engine: layers of signs become its custom operators.
        layout: the order of axes of all inputs and outputs; None: images and signals channels-last, all else as in the source.
        layouts: the same for single inputs and outputs, by name.
        preprocessing: what the graph itself does to raw input, by name of the input, for the file's own record.
        all_names: keep the names of all tensors, for debugging; only inputs and outputs keep theirs otherwise.
        signature: the key under which apps find the inputs and outputs by name (docs/decisions/signature-key.md).
    """

    batch: int = 1
    float16: bool = False
    micro: bool = False
    larq: bool = False
    layout: Layout | None = None
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    preprocessing: Mapping[str, Preprocessing] = field(default_factory=dict)
    all_names: bool = False
    signature: str = DEFAULT_SIGNATURE

    @classmethod
    def for_target(
        cls,
        target: Target,
        *,
        batch: int = 1,
        layout: Layout | None = None,
        layouts: Mapping[str, Layout] | None = None,
        preprocessing: Mapping[str, Preprocessing] | None = None,
    ) -> TfliteOptions:
        """The options that a target implies, with the user's own."""
        weights = target.quantization.weights
        return cls(
            batch=batch,
            float16=weights is not None and weights.dtype == "float16",
            micro=target.runtime == "tflite-micro",
            larq=target.runtime == "larq",
            layout=layout,
            layouts=dict(layouts or {}),
            preprocessing=dict(preprocessing or {}),
        )
