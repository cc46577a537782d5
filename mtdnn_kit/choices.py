"""DRAFT"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    row: object
    replies: dict
    gold: int
    names: tuple
    shown: tuple
