"""A solver for the board parity-dmd: it reads of each row only the bits that tell candidates apart.

All triples of bits are candidates. A row's label contradicts half of those wrong candidates whose bits are known, so a
whole row is worth its price while there are many. Later, some of its bits are: the candidates are gone through, those
first that need few further bits, and as many are kept as give most information for each number that is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sutrolib.boards.task import BoardModel
from sutrolib.models.fields import float_field, int_field

_TEXT = '''"""Finds the secret bits by elimination of candidates; each row is read only where candidates differ."""

from itertools import combinations
from math import log2

PRICE_OF_LABEL = {price}  # in bits of x
START = {start}  # the first row


def columns_for(left):
    """The columns of the next row that give most information about the candidates for each number read."""
    known, open_ones, best, chosen = set(), list(left), 0.0, []
    while open_ones:
        nearest = min(open_ones, key=lambda bits: (len(set(bits) - known), bits))
        known |= set(nearest)
        open_ones = [bits for bits in open_ones if not set(bits) <= known]
        share = 1 - len(open_ones) / len(left)
        worth = -log2(1 - share / 2) / (len(known) + PRICE_OF_LABEL)
        if worth > best:
            best, chosen = worth, sorted(known)
    return chosen


def solve(x, y, n_bits, k_sparse):
    left, row = list(combinations(range(n_bits), k_sparse)), START
    while len(left) > 1:
        columns = range(n_bits) if len(left) > {whole} else columns_for(left)
        values = dict(zip(columns, (float(x[row, column]) for column in columns)))
        label = float(y[row])

        def fits(bits):
            found = 1.0
            for bit in bits:
                if bit not in values:
                    return True
                found *= values[bit]
            return found == label

        left, row = [bits for bits in left if fits(bits)], row + 1
    return list(left[0])
'''


@dataclass(frozen=True)
class LazyRows(BoardModel):
    """The solver; whole rows are read while more than ``whole`` candidates are left."""

    whole: int = int_field(100, "candidates", 1, 1140, log=True)
    price_of_label: float = float_field(0.25, 0.05, 5.0, "bits", log=True)
    start: int = int_field(0, "rows", 0, 0)

    name: ClassVar[str] = "lazy elimination"
    prior_knowledge: ClassVar[str] = "labels are the product of 3 of the bits"

    def text(self) -> str:
        """The file solve.py."""
        return _TEXT.format(price=self.price_of_label, start=self.start, whole=self.whole)
