"""The lottery ticket and its controls; masks learned on untrained networks."""

from edgekit.compress.lottery.step import LotteryTicket
from edgekit.compress.lottery.supermask import Supermask

__all__ = ["LotteryTicket", "Supermask"]
