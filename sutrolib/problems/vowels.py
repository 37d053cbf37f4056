"""A question about text in the form of sparse parity: is the next letter a vowel, given the bits of those before it?

Each of 27 letters is a number of five bits, so four letters make n = 20 inputs of -1 and +1, and the label is -1 or +1,
exactly as in a parity of 20 bits. Every model of a parity can be tried on it, and one that knows the form of a parity's
answer fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Split, Task, check_fields
from sutrolib.problems.parity import sign_accuracy
from sutrolib.problems.text import LETTERS, TRAIN_SHARE, encode, in_letters, load_text

_BITS = 5
_VOWELS = "aeiou"


@dataclass(frozen=True)
class NextVowel:
    """Is the letter after ``letters`` letters a vowel? Fields out of range raise ValueError.

    ``n_train`` random places are in the first 90 % of the text, ``n_test`` in the last 10 %. The target is the accuracy
    of the best rule that sees only the last letter, as counted on the training text.
    """

    letters: int = 4
    n_train: int = 5000
    n_test: int = 5000
    text: str = "shakespeare"

    name: ClassVar[str] = "is the next letter a vowel"
    rung: ClassVar[str] = "letters"

    def __post_init__(self) -> None:
        check_fields(self, {"letters": (1, 1000), "n_train": (1, 10_000_000), "n_test": (1, 10_000_000)})

    def sample(self, seed: int) -> Task:
        """The task of this seed: x of shape (samples, 5 * letters) and y of shape (samples, 1), all -1 or +1."""
        ids = encode(in_letters(load_text(self.text)), LETTERS)
        kept = int(TRAIN_SHARE * len(ids))
        generator = torch.Generator().manual_seed(seed)
        train, test = self._draw(ids[:kept], self.n_train, generator), self._draw(ids[kept:], self.n_test, generator)
        return Task(train, test, sign_accuracy, "accuracy", _last_letter_accuracy(ids[:kept], ids[kept:]))

    def _draw(self, ids: Tensor, count: int, generator: torch.Generator) -> Split:
        starts = torch.randint(len(ids) - self.letters, (count, 1), generator=generator)
        window = ids[starts + torch.arange(self.letters + 1)]
        bits = window[:, :-1, None] >> torch.arange(_BITS) & 1
        return Split(1 - 2 * bits.flatten(1).float(), _vowel(window[:, -1:]))


def _vowel(ids: Tensor) -> Tensor:
    """+1 for a vowel and -1 for anything else."""
    return torch.isin(ids, encode(_VOWELS, LETTERS)).float() * 2 - 1


def _last_letter_accuracy(train: Tensor, test: Tensor) -> float:
    """The accuracy on ``test`` of predicting, after each letter, what mostly follows it in ``train``."""
    lean = torch.zeros(len(LETTERS)).index_add_(0, train[:-1], _vowel(train[1:]))
    return (lean[test[:-1]].sign() == _vowel(test[1:])).double().mean().item()
