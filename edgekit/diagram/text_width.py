"""How wide text is, without a font: close enough to lay out boxes around common sans-serif faces."""

from __future__ import annotations

_NARROW = set("iljtfr.,:;'|!()[]{} \"`-/")
_WIDE = set("mwMWOQGD@%&")
_ELLIPSIS = "…"


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Estimated width in pixels; errs on the wide side for latin text. Other scripts count one size a character."""
    units = 0.0
    for char in text:
        if char in _NARROW:
            units += 0.36
        elif char in _WIDE:
            units += 0.86
        elif char.isupper() or char.isdigit() or char in "×·_=+":
            units += 0.62
        else:
            units += 0.57 if ord(char) < 0x250 else 1.0
    return units * size * (1.2 if bold else 1.09)


def shortened(text: str, room: float, size: float, *, bold: bool = False) -> str:
    """The text, with its end replaced by an ellipsis where it is wider than ``room``."""
    if text_width(text, size, bold=bold) <= room:
        return text
    while text and text_width(text + _ELLIPSIS, size, bold=bold) > room:
        text = text[:-1]
    return text.rstrip() + _ELLIPSIS if text else ""
