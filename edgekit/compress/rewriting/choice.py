"""Which candidate each layer takes: by an error that it may make, or so that all together are within a budget."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.compress.rewriting.menu import Dish, Menu
from edgekit.errors import OverBudget

#: Errors are sums of squares of float64 singular values: below this they are rounding.
_ROUNDING = 1e-7

#: A choice for each menu; None leaves the layer as it is.
Choice = list[Dish | None]


def by_error(menus: Sequence[Menu], bound: float, measure: str) -> Choice:
    """The cheapest candidate of each layer whose relative error is at most ``bound``; of equally cheap ones the closest."""
    out: Choice = []
    for menu in menus:
        fit = [dish for dish in menu.dishes if dish.error <= bound + _ROUNDING]
        out.append(min(fit, key=lambda d: (d.cost(measure), d.error)) if fit else None)
    return out


def within(menus: Sequence[Menu], measure: str, total: int, budget: float) -> Choice:
    """A choice for each layer that brings ``total`` within the budget with as little error as can be.

    Minimises the sum of squared relative errors subject to the cost: a multiple-choice knapsack. Along each layer's lower
    convex hull of (cost, squared error), the step with the least error per cost saved is taken until the budget is met
    (optimal for the costs that it passes through; Sinha & Zoltners 1979); what is left over buys back error.

    Args:
        menus: of all layers that may be rewritten.
        measure: "macs" or "parameters".
        total: of the whole graph, before.
        budget: a share of ``total`` up to 1.0, an amount above.

    Raises:
        OverBudget: the budget is missed even with the cheapest candidate of every layer.
    """
    allowed = budget * total if budget <= 1.0 else budget
    hulls = [_hull(menu, measure) for menu in menus]
    at = [0] * len(menus)
    steps = sorted(
        (_slope(hull[i], hull[i + 1], measure, menu), index, i)
        for index, (menu, hull) in enumerate(zip(menus, hulls, strict=True))
        for i in range(len(hull) - 1)
    )
    cost = total
    for _, index, position in steps:
        if cost <= allowed:
            break
        assert at[index] == position  # a hull is convex: its steps come in order
        cost += _cost(hulls[index][position + 1], menus[index], measure) - _cost(hulls[index][position], menus[index], measure)
        at[index] = position + 1
    if cost > allowed:
        raise OverBudget(
            f"rewriting cannot bring {measure} from {total:,} to {allowed:,.0f}: at the lowest ranks they are {cost:,}",
            where=f"the budget of {measure}",
            hint="a larger budget, fewer layers to keep, or another method; the record of a rewrite by error names what was "
            "declined and why",
        )
    chosen = [hull[i] for hull, i in zip(hulls, at, strict=True)]
    _spend(chosen, menus, measure, allowed - cost)
    return chosen


def _spend(chosen: Choice, menus: Sequence[Menu], measure: str, slack: float) -> None:
    """Uses what the budget has left: again and again the change that takes most error away and still fits.

    Changes that take less than a thousandth of the error away are not looked for.
    """
    worth = 1e-3 * sum(_loss(dish) for dish in chosen)
    while True:
        best: tuple[float, int, Dish | None] | None = None
        for index, menu in enumerate(menus):
            now = _cost(chosen[index], menu, measure)
            for dish in (None, *menu.dishes):
                more = _cost(dish, menu, measure) - now
                gain = _loss(chosen[index]) - _loss(dish)
                if more <= slack and gain > worth and (best is None or gain > best[0]):
                    best = (gain, index, dish)
        if best is None or worth == 0:
            return
        _, index, dish = best
        slack -= _cost(dish, menus[index], measure) - _cost(chosen[index], menus[index], measure)
        chosen[index] = dish


def _hull(menu: Menu, measure: str) -> Choice:
    """The lower convex hull of (cost, squared error), from the layer as it is to its cheapest candidate."""
    points: Choice = [None]
    for dish in sorted(menu.dishes, key=lambda d: (-d.cost(measure), d.error)):
        if _cost(dish, menu, measure) >= _cost(points[-1], menu, measure):
            continue
        while len(points) > 1 and _slope(points[-2], points[-1], measure, menu) >= _slope(points[-1], dish, measure, menu):
            points.pop()
        points.append(dish)
    return points


def _slope(dear: Dish | None, cheap: Dish | None, measure: str, menu: Menu) -> float:
    """Squared error that a step adds for each unit of cost that it saves."""
    return (_loss(cheap) - _loss(dear)) / (_cost(dear, menu, measure) - _cost(cheap, menu, measure))


def _cost(dish: Dish | None, menu: Menu, measure: str) -> int:
    return menu.cost(measure) if dish is None else dish.cost(measure)


def _loss(dish: Dish | None) -> float:
    return 0.0 if dish is None else dish.error**2
