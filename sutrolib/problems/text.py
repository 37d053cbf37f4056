"""Next-character prediction on Shakespeare, and a simpler problem: the next of 27 letters from the one before.

The first 90 % of the characters are for training and the last 10 % for the test, as in nanoGPT's ``shakespeare_char``.
Models get ids and the alphabet; :mod:`sutrolib.problems.text_evaluation` takes their predictions. The 27 letters are
those of Shannon, Prediction and Entropy of Printed English, 1951.

:class:`NextVowel` is a question about text in the form of sparse parity: four letters of five bits each make n = 20
inputs of -1 and +1, and the label is -1 or +1, exactly as in a parity of 20 bits. Every model of a parity can be tried
on it, and one that knows the form of a parity's answer fails.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sutrolib.core.types import Split, Task, check_fields
from sutrolib.problems import shakespeare
from sutrolib.problems.parity import sign_accuracy
from sutrolib.problems.text_evaluation import TEXT_SCORES, StreamInference, minus_loss

_TEXTS: Mapping[str, Callable[[], str]] = {
    "shakespeare": shakespeare.rebuilt,  # from the pinned package, no network
    "tinyshakespeare": shakespeare.original,  # as published, by download
    "all plays": shakespeare.all_plays,  # the 38 of the package
}
_BITS = 5  # of a letter
_VOWELS = "aeiou"
LETTERS = " abcdefghijklmnopqrstuvwxyz"
TRAIN_SHARE = 0.9
WINDOWS_PER_DECODER = 256  # keys and values of all windows at once would not fit into memory
_LEAD = 64


def load_text(name: str = "shakespeare") -> str:
    """The text of this name. Raises ValueError for an unknown name, and whatever its source raises."""
    if name not in _TEXTS:
        raise ValueError(f"text must be one of {', '.join(_TEXTS)} (got {name!r})")
    return _TEXTS[name]()


def in_letters(text: str) -> str:
    """The text in the 27 characters of :data:`LETTERS`: lower case, with one blank between words."""
    return re.sub(r"[^a-z]+", " ", text.lower())


def encode(text: str, alphabet: str) -> Tensor:
    """The ids of the characters, int64 of shape (characters,). Raises ValueError for one outside the alphabet."""
    if unknown := sorted(set(text) - set(alphabet)):
        raise ValueError(f"the characters {unknown} are not in the alphabet {alphabet!r}")
    points, known = (np.frombuffer(part.encode("utf-32-le", "surrogatepass"), np.uint32) for part in (text, alphabet))
    table = np.zeros(known.max(initial=0) + 1, np.int64)
    table[known] = np.arange(len(known))
    return torch.from_numpy(table[points])


def alphabet_of(text: str) -> str:
    """The characters of the text, each once, in the order of their code points."""
    return "".join(sorted(set(text)))


def best_bigram_loss(task: Task) -> float:
    """The lowest loss, in nats, of any model that sees one character, on the test text.

    It is the conditional entropy H(next | previous) of the test text's own pairs.
    """
    characters, test = len(task.alphabet), task.test_split
    pairs = torch.bincount(test.x * characters + test.y[:, 0], minlength=characters**2).view(characters, characters)
    joint = pairs.double() / pairs.sum()
    given = joint.sum(1, keepdim=True)
    return float((torch.special.entr(joint).sum() - torch.special.entr(given).sum()).item())


@dataclass(frozen=True)
class _Text:
    """Next-character prediction on the first ``characters`` of a text (0: all of it).

    Every seed gives the same task. Fields out of range raise ValueError.
    """

    text: str = "shakespeare"
    characters: int = 0

    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.text not in _TEXTS:
            raise ValueError(f"{type(self).__name__}: text must be one of {', '.join(_TEXTS)} (got {self.text!r})")
        check_fields(self, {"characters": (0, 10_000_000)})

    def _task(self, text: str, alphabet: str, target: float, lead: int = _LEAD, **reading: int) -> Task:
        """The task: x of shape (samples,), each id with the next one in y of shape (samples, 1)."""
        ids = encode(text[: self.characters or None], alphabet)
        kept = int(TRAIN_SHARE * len(ids))
        train, test = ids[:kept].clone(), ids[kept:].clone()
        if len(test) < 2:
            raise ValueError(f"{type(self).__name__}: the text must have at least 20 characters (got {len(ids)})")
        before = train[max(1, len(train) - lead) :].clone()
        inference = StreamInference(alphabet, before, lead=lead, **reading)
        return Task(shifted(train), shifted(test), minus_loss, "minus loss", target, TEXT_SCORES, inference, alphabet)


def shifted(ids: Tensor) -> Split:
    """Inputs: each id but the last. Labels: the id after it."""
    return Split(ids[:-1], ids[1:, None])


@dataclass(frozen=True)
class NextCharacter(_Text):
    """nanoGPT's problem: the distribution of the next character from any number of characters before it.

    The score is minus the loss on the last 10 %, the target nanoGPT's published loss on a CPU, 1.88.
    """

    name: ClassVar[str] = "next character"
    target: ClassVar[float] = -1.88  # README of nanoGPT (github.com/karpathy/nanoGPT), "I only have a macbook"
    rung: ClassVar[str] = "shakespeare"

    def sample(self, seed: int) -> Task:
        """The same task for every seed."""
        text = load_text(self.text)
        return self._task(text, alphabet_of(text), self.target)


@dataclass(frozen=True)
class NextLetter(_Text):
    """27 letters, and only the letter before to predict the next one from.

    Solved is a loss within ``within`` nats of the best possible one (:func:`best_bigram_loss`). The exact pair counts
    of the training text lose 0.038 nats on the last plays, which have other names and songs.
    """

    name: ClassVar[str] = "next letter of 27"
    within: ClassVar[float] = 0.05
    rung: ClassVar[str] = "letters"

    def sample(self, seed: int) -> Task:
        """The same task for every seed."""
        task = self._task(in_letters(load_text(self.text)), LETTERS, 0.0, window=1)
        return dataclasses.replace(task, target=-best_bigram_loss(task) - self.within)


@dataclass(frozen=True)
class WindowedText(_Text):
    """Next-character prediction as the final exam evaluates it: every position once, with a bounded context.

    The last 10 % of the text is read in windows of ``context`` characters. The first ``min_context`` of each window are
    the last ones of the window before, and are not scored; so each character is predicted once, from the last
    ``min_context`` + 1 to ``context`` characters. A loss over windows without such an overlap, as in nanoGPT's training
    script, includes characters with hardly any context; a sliding window would cost ``context`` times as much.

    ``target_loss``, in nats, counts as solved. With ``online`` the text is read as one stream from its beginning to its
    end, for a model that learns from what it has read. Raises ValueError for fields out of range.
    """

    context: int = 64
    min_context: int = 32
    target_loss: float = 1.88  # README of nanoGPT (github.com/karpathy/nanoGPT), "I only have a macbook"
    online: bool = False

    name: ClassVar[str] = "next character, windowed"
    rung: ClassVar[str] = "shakespeare"

    def __post_init__(self) -> None:
        super().__post_init__()
        limits = {"context": (1, 65_536), "min_context": (0, self.context - 1), "target_loss": (1e-6, 100.0)}
        check_fields(self, limits)

    @property
    def target(self) -> float:
        """The target score: minus the target loss."""
        return -self.target_loss

    def sample(self, seed: int) -> Task:
        """The same task for every seed."""
        text = load_text(self.text)
        windows = {"length": self.context - self.min_context, "max_streams": WINDOWS_PER_DECODER}
        reading = {"streams": 1} if self.online else windows
        return self._task(text, alphabet_of(text), self.target, self.min_context, **reading)


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
