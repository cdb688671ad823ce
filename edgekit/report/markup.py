"""Small pieces of HTML; every text that comes from outside is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, and whether it holds numbers (aligned right)."""

    heading: str
    number: bool = False


def text(value: object) -> Html:
    """Escaped, unless it is markup already."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def element(tag: str, *content: object, css: str = "") -> Html:
    """``<tag class="css">content</tag>``"""
    start = f'{tag} class="{escape(css)}"' if css else tag
    return Html(f"<{start}>{''.join(map(text, content))}</{tag}>")


def section(heading: str, *content: object, lead: str = "") -> Html:
    """A heading, a sentence and content; nothing where the content is empty."""
    body = "".join(map(text, content))
    if not body:
        return Html("")
    introduction = element("p", lead, css="lead") if lead else ""
    return Html(f"<section>{element('h2', heading)}{introduction}{body}</section>")


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]], css: str = "scroll") -> Html:
    """A table in a box that scrolls where it must; nothing without rows. Columns that are empty in every row are left out."""
    body = [[text(cell) for cell in row] for row in rows]
    if not body:
        return Html("")
    used = [i for i in range(len(columns)) if any(row[i] not in ("", "–") for row in body)]

    def line(tag: str, cells: Sequence[Html]) -> str:
        return "".join(element(tag, cells[i], css="number" if columns[i].number else "") for i in used)

    head = line("th", [text(column.heading) for column in columns])
    lines = "".join(f"<tr>{line('td', row)}</tr>" for row in body)
    return Html(f'<div class="{css}"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>')


def details(summary: str, *content: object) -> Html:
    """Content that a click unfolds; nothing where it is empty."""
    body = "".join(map(text, content))
    return Html(f"<details><summary>{text(summary)}</summary>{body}</details>") if body else Html("")


def figure(label: str, value: str, note: object = "", css: str = "") -> Html:
    """One of the large numbers at the top."""
    return Html(
        f"<div><dl><dt>{text(label)}</dt><dd>{element('div', value, css=f'value {css}'.strip())}"
        f"{element('div', note, css='note')}</dd></dl></div>"
    )
