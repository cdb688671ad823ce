"""The lottery ticket and its controls."""

from edgekit.compress.lottery.step import LotteryTicket

__all__ = ["LotteryTicket"]
