"""Names of parameters and modules as users write them in ``layers`` and ``keep``: whole, by module, or with wildcards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from edgekit.errors import UsageError
from edgekit.tables import did_you_mean

#: What a hint says besides the nearest name.
_HOW = "a parameter, a module around it, or a pattern such as 'layer3.*'"


def covers(wish: str, name: str) -> bool:
    """Whether a wish means a parameter: its name, a module around it, or a pattern (``*``, ``?``, ``[ab]``) of either."""
    return any(fnmatchcase(each, wish) or each == wish for each in with_modules(name))


def with_modules(name: str) -> list[str]:
    """The name, and those of the modules that it is in, innermost first."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def first_that_covers(wishes: Iterable[str], names: Sequence[str]) -> str | None:
    """The first wish that means one of a weight's names."""
    return next((wish for wish in wishes if any(covers(wish, name) for name in names)), None)


def closest_that_covers(wishes: Iterable[str], name: str) -> str | None:
    """Of the wishes that mean a name, the closest: one without wildcards before one with them, then the longest."""
    found = [wish for wish in wishes if covers(wish, name)]
    return max(found, key=lambda wish: (not any(sign in wish for sign in "*?["), len(wish)), default=None)


def check_names(option: str, wishes: Iterable[str], names: Iterable[str], *, of: str, where: str) -> None:
    """Every wish means something.

    Args:
        option: where the wishes stand: ``keep``.
        wishes: as the user wrote them.
        names: that there are.
        of: what these are the names of: ``a weight``.
        where: the graph's name.

    Raises:
        UsageError: one means nothing; the nearest name or module is told.
    """
    known = list(names)
    for wish in wishes:
        if not any(covers(wish, name) for name in known):
            every = dict.fromkeys(part for name in known for part in with_modules(name))
            hint = f"{did_you_mean(wish, every)} ({_HOW})" if len(every) <= 40 or _is_near(wish, every) else _some(every)
            raise UsageError(f"'{option}' names '{wish}', which is not {of}", where=f"{option} = [...] on {where}", hint=hint)


def _is_near(wish: str, names: Iterable[str]) -> bool:
    return did_you_mean(wish, names).startswith("did you mean")


def _some(names: Iterable[str]) -> str:
    few = list(names)[:8]
    return f"{_HOW}; there are {', '.join(few)} ..."
