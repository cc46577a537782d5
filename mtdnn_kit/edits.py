"""DRAFT"""


def names(t):
    return []
