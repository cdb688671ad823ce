"""A stream on the terminal and on the page."""

from __future__ import annotations

from edgekit.report.markup import Column, Html, element, section, table
from edgekit.report.numbers import bytes_text, count_text
from edgekit.report.stream_info import StreamInfo


def stream_text(info: StreamInfo) -> str:
    """One line for the terminal."""
    frames = "1 frame" if info.hop == 1 else f"{info.hop} frames"
    kept = "in and out" if info.kept == "io" else "in the file"
    return (
        f"a stream: {frames} a call, {count_text(info.macs_per_call)} MACs instead of {count_text(info.macs_per_window)} "
        f"for a window of {info.window}; {info.states} states ({bytes_text(info.state_bytes)}) {kept}"
    )


def stream_section(info: StreamInfo | None) -> Html:
    """The stream on the page; nothing for a model on windows."""
    if info is None:
        return Html("")
    rows = [
        (
            element("span", output["name"], css="name"),
            "each call" if output["axis"] is None else f"{output['steps']} steps a call, along axis {output['axis']}",
            f"after call {output['ready']}" if output["axis"] is None else f"from step {output['offset'] + output['warm']}",
        )
        for output in info.outputs
    ]
    given = ", ".join(f"{name} along axis {axis}" for name, axis in info.time.items())
    return section(
        "Stream",
        table([Column("Output"), Column("given"), Column("as on windows")], rows),
        element("p", f"Frames of {given}. {stream_text(info).capitalize()}."),
        lead="The file is called once every few frames and goes on from where the last call ended.",
    )
