"""A solver for the board parity-dmd: it reads of each row only the bits that tell candidates apart.

All triples of bits are candidates. A row's label contradicts half of those wrong candidates whose bits are known, so a
whole row is worth its price while there are many. Later, some bits are, of a new row or of one that was read in part:
the candidates are gone through, those first that need few further bits, and as many are taken as give most information
for each number that is read. Where a candidate is likely enough, it is the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sutrolib.boards.task import BoardModel
from sutrolib.models.fields import float_field, int_field

_TEXT = '''"""Finds the secret bits by elimination of candidates; rows are read only where candidates differ."""

from itertools import combinations

WHOLE = {whole}  # candidates above which a row is read as a whole
PRICE_OF_LABEL = {price}  # in bits of x
SURE = {sure}  # the probability of a candidate at which it is the answer


def worth_reading(left, known, price):
    """The columns that give most information about the candidates for each number read, and how much."""
    covered, open_ones, told, best, chosen = set(known), [bits for bits in left if not known >= set(bits)], 0, 0.0, []
    while open_ones:
        covered |= set(max(open_ones, key=lambda bits: (left[bits] / len(set(bits) - covered), bits)))
        told += sum(left[bits] for bits in open_ones if covered >= set(bits))
        open_ones = [bits for bits in open_ones if not covered >= set(bits)]
        worth = told / (len(covered) - len(known) + price)
        if worth > best:
            best, chosen = worth, sorted(covered - known)
    return best, chosen


def solve(x, y, n_bits, k_sparse):
    left, rows, labels = dict.fromkeys(combinations(range(n_bits), k_sparse), 1), [], []  # odds of the candidates
    while max(left.values()) < SURE * sum(left.values()):
        row, columns = len(rows), range(n_bits)
        if len(left) <= WHOLE:  # the next row, or more of one that was read in part
            plans = [(*worth_reading(left, set(known), 0), i) for i, known in enumerate(rows)]
            plans.append((*worth_reading(left, set(), PRICE_OF_LABEL), row))
            _, columns, row = max(plans, key=lambda plan: plan[0])
        if row == len(rows):
            rows.append({{}})
            labels.append(float(y[row]))
        known, before = rows[row], set(rows[row])
        for column in columns:
            known[column] = float(x[row, column])
        for bits in list(left):
            if set(bits) <= set(known) and not set(bits) <= before:
                a, b, c = bits
                left[bits] *= 2 * (known[a] * known[b] * known[c] == labels[row])
                if not left[bits]:
                    del left[bits]
    return list(max(left, key=left.get))
'''


@dataclass(frozen=True)
class LazyRows(BoardModel):
    """The solver; whole rows are read while more than ``whole`` candidates are left."""

    whole: int = int_field(100, "candidates", 1, 1140, log=True)
    price_of_label: float = float_field(0.25, 0.05, 5.0, "bits", log=True)
    sure: float = float_field(1.0, 0.5, 1.0, "probability")

    name: ClassVar[str] = "lazy elimination"
    prior_knowledge: ClassVar[str] = "labels are the product of 3 of the bits"

    def text(self) -> str:
        """The file solve.py."""
        return _TEXT.format(whole=self.whole, price=self.price_of_label, sure=self.sure)
