"""A candidate of a compression step as the file that the build would make of it: what a measured budget is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgekit.compress.gauging.candidate import CandidateFile
from edgekit.config import BuildRequest, InputSettings, QuantizationSettings
from edgekit.ir import Graph
from edgekit.stages.artifact import export
from edgekit.stages.feeding import batches, first
from edgekit.stages.io_types import byte_inputs, io_types
from edgekit.stages.precision import lower
from edgekit.stages.preprocessing import prepare
from edgekit.target import Target

#: Samples that ranges are taken of: a candidate's answers are read by nobody, only its kernels count.
SAMPLES = 16


@dataclass(frozen=True)
class TargetFile:
    """Writes graphs for one target, as ``edgekit build`` does, with quick ranges.

    Attributes:
        target: what the files are for.
        request: of the build.
        settings: of the inputs, by name.
        samples: calibration samples, raw and in the graph's order of axes; None where there are none.
    """

    target: Target
    request: BuildRequest
    settings: Mapping[str, InputSettings]
    samples: Sequence[np.ndarray[Any, Any]] | None

    @property
    def identity(self) -> str:
        """The target, and what else shapes its files."""
        request = self.request
        return repr((self.target, request.batch, request.io, request.io_layout, request.outputs, request.quantization.layers))

    def __call__(self, graph: Graph) -> CandidateFile:
        """The file of a graph.

        Raises:
            UsageError: an integer target without calibration data.
            Unsupported: something has no place in this target.
        """
        quick = QuantizationSettings(observer="min_max", bias_correction=False, layers=self.request.quantization.layers)
        request = replace(self.request, quantization=quick)
        types = io_types(graph, self.target, request, self.settings)
        prepared = prepare(graph, self.settings, bytes_in=byte_inputs(types, graph, self.samples))
        some = None
        if self.samples is not None:
            some = batches(first(prepared.taken(list(self.samples)), prepared.graph, SAMPLES), prepared.graph)
        lowered = lower(prepared, self.target, some, request, types)
        return CandidateFile(export(lowered.graph, self.target, request, prepared), self.target.suffix, self.target.name)
