"""N-grams after words, lines and skipped words, multiplied with the one after characters.

    p(w | h)  ~  prod_k p_k(w | contexts of kind k)^a_k

Each factor is an n-gram with learned discounts (:mod:`sutrolib.models.language.learned_discounts`), whose contexts grow
from nothing to their last one in another order:

- *characters*: the last 0 to 7 characters;
- *words*: up to 4 characters, then the word so far, the word before it, and the one before that;
- *lines*: up to 3 characters, then the word so far, and with it the place in the line and the last punctuation mark;
- *skips*: the last word but one, then up to 3 characters, then the word so far.

A context beyond the last characters is known by a hash of it. Words as contexts beside characters: Mahoney, Adaptive
Weighing of Context Models for Lossless Data Compression, 2005; products: see
:mod:`sutrolib.models.language.extended_ngram`. The exponents were chosen on held-out training text.

The text is read as many streams at once, by the same code that reads it when the model predicts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, FittedModel, check_ids, float_field, int_field, text_ids
from sutrolib.models.language.kneser_ney import NGramTable, lookup
from sutrolib.models.language.learned_discounts import NGramStats, discounts_of, learn_discounts, stats_of

_STREAMS, _LEAD = 1000, 64  # in which a text is read, each after so many characters of the stream before it
_RECENT, _LEVELS = 7, 8  # characters of the longest contexts, and contexts of a kind at most
_KEY_BITS = 61  # of a string's key; two more tell its kind
_BASE, _FIRST, _SECOND = 1_000_003, 0x2545F4914F6CDD1D, 0x5851F42D4C957F2D  # of hashes; odd
_COLUMN, _COLUMNS = 12, 4  # characters of a bucket of places in a line, and the last bucket
_MARKS = ".,;:!?\n"


class Reader:
    """What each of some streams has read: its last characters, words, place in the line, and punctuation mark."""

    def __init__(self, alphabet: str, streams: int) -> None:
        self.characters = len(alphabet)
        self.is_letter = torch.tensor([c.isalpha() or c in "'-" for c in alphabet])
        self.is_mark = torch.tensor([c in _MARKS for c in alphabet])
        self.newline = alphabet.find("\n")
        self.state = torch.zeros(8, streams, dtype=torch.int64)

    def read(self, ids: Tensor) -> None:
        """Read a character of each stream. Raises ValueError for ids outside the alphabet."""
        check_ids(ids, self.characters)
        recent, letters, opener, word, before, column, mark, read = self.state
        letter = self.is_letter[ids]
        ended = ~letter & (letters != 0)
        self.state = torch.stack(
            [
                (recent * self.characters + ids) % self.characters**_RECENT,
                torch.where(letter, letters * _BASE + ids + 1, 0),
                torch.where(letter, opener, ids + 1),
                torch.where(ended, letters, word),
                torch.where(ended, word, before),
                torch.where(ids == self.newline, 0, column + 1),
                torch.where(self.is_mark[ids], ids + 1, mark),
                read + 1,
            ]
        )


def _hash(characters: int, *parts: Tensor) -> Tensor:
    """A hash of each tuple of numbers, so small that a string's key still fits."""
    found = torch.zeros_like(parts[0])
    for part in parts:
        found = (found * _FIRST) ^ (part * _SECOND + _BASE)
        found = found ^ (found >> 29)
    return (found & ((1 << (_KEY_BITS - 1)) - 1)) // characters


def _by_characters(state: Tensor, last: Tensor, characters: int) -> list[Tensor]:
    return list(last)


def _by_words(state: Tensor, last: Tensor, characters: int) -> list[Tensor]:
    _, letters, opener, word, before, *_ = state
    now = _hash(characters, last[4], letters, opener)
    after = _hash(characters, now, word)
    return [*last[:5], now, after, _hash(characters, after, before)]


def _by_lines(state: Tensor, last: Tensor, characters: int) -> list[Tensor]:
    _, letters, opener, _, _, column, mark, _ = state
    now = _hash(characters, last[3], letters, opener)
    return [*last[:4], now, _hash(characters, now, (column // _COLUMN).clamp(max=_COLUMNS), mark)]


def _by_skips(state: Tensor, last: Tensor, characters: int) -> list[Tensor]:
    _, letters, opener, _, before, *_ = state
    after = _hash(characters, before, last[:4])
    return [torch.zeros_like(before), *after, _hash(characters, after[3], letters, opener)]


KINDS: Mapping[str, Callable[[Tensor, Tensor, int], list[Tensor]]] = {
    "characters": _by_characters,
    "words": _by_words,
    "lines": _by_lines,
    "skips": _by_skips,
}


def contexts_of(state: Tensor, characters: int) -> list[list[Tensor]]:
    """The contexts (streams,) of each kind after what a reader has read, each a part of the next one.

    Among them are the last 0 to 7 characters; -1, which is in no table, where fewer were read.
    """
    lengths = torch.arange(_RECENT + 1)[:, None]
    last = torch.where(state[7] >= lengths, state[0] % characters**lengths, -1)
    return [kind(state, last, characters) for kind in KINDS.values()]


def _levels(state: Tensor, characters: int) -> Tensor:
    """The contexts of all kinds (levels, kinds, streams), the longest at the last level; -1 where there is none.

    The kind is a part of each context, so that one table holds a level of all kinds: one search instead of four.
    """
    none, levels = torch.full_like(state[0], -1), []
    for contexts in contexts_of(state, characters):
        levels.append(torch.stack([none] * (_LEVELS - len(contexts)) + contexts))
    found = torch.stack(levels, 1)
    return torch.where(found < 0, found, found * len(KINDS) + torch.arange(len(KINDS))[:, None])


@dataclass(frozen=True)
class SuccessorTable:
    """A level: sorted ``contexts`` with ``gamma`` = sum of D / c(h), and the characters ``following`` them.

    Those of context i are at ``first[i]`` to ``first[i + 1]``, each with its ``share`` = (c - D) / c(h). Only the
    context is searched for, where an NGramTable searches for each character after it too.
    """

    contexts: Tensor
    gamma: Tensor
    first: Tensor
    following: Tensor
    share: Tensor

    @classmethod
    def of(cls, kinds: Sequence[tuple[Tensor, Tensor, Tensor]], characters: int) -> SuccessorTable:
        """One table of the keys, counts and discounts of all kinds."""
        keys, counts, discounts = (torch.cat(parts) for parts in zip(*kinds, strict=True))
        keys, order = keys.sort()
        table = NGramTable.of(keys, counts[order], discounts[order], characters)
        first = torch.searchsorted(keys, table.contexts * characters)
        first = torch.cat([first, torch.tensor([len(keys)])])
        return cls(table.contexts, table.gamma, first.int(), (keys % characters).to(torch.int16), table.share)

    def interpolate(self, lower: Tensor, context: Tensor) -> Tensor:
        """Distributions (streams, characters) after contexts (streams,), from those of the next lower level."""
        row, known = lookup(self.contexts, context)
        first = self.first[row]
        many = torch.where(known, self.first[row + 1] - first, 0)
        stream = torch.repeat_interleave(many)
        place = torch.arange(len(stream)) + (first - many.cumsum(0) + many)[stream]
        found = lower * torch.where(known, self.gamma[row], 1.0)[:, None]
        found[stream, self.following[place].long()] += self.share[place]
        return found


@dataclass(frozen=True)
class FittedWordNGrams(FittedModel):
    """The table of every level, from the shortest contexts to the longest, and the exponents of the kinds."""

    alphabet: str
    tables: tuple[SuccessorTable, ...]
    exponents: Tensor

    def decoder(self, streams: int) -> WordNGramsDecoder:
        """A decoder of ``streams`` streams, with an empty context."""
        return WordNGramsDecoder(self, streams)

    def predict(self, x: Tensor) -> Tensor:
        """Log-probabilities (samples, characters) after ids x of shape (samples, context length)."""
        decoder = self.decoder(len(x))
        for column in x.unbind(1)[:-1]:
            decoder.read(column)
        return decoder.step(x[:, -1])


class WordNGramsDecoder(Reader):
    """Reads, and predicts from the tables."""

    def __init__(self, fitted: FittedWordNGrams, streams: int) -> None:
        super().__init__(fitted.alphabet, streams)
        self.fitted = fitted

    def step(self, ids: Tensor) -> Tensor:
        """Read ids (streams,); returns log-probabilities (streams, characters)."""
        self.read(ids)
        found = torch.full((len(KINDS) * len(ids), self.characters), 1 / self.characters)
        for table, contexts in zip(self.fitted.tables, _levels(self.state, self.characters), strict=True):
            found = table.interpolate(found, contexts.flatten())
        logs = found.log_().view(len(KINDS), len(ids), self.characters)
        return torch.einsum("k,ksc->sc", self.fitted.exponents, logs).log_softmax(1)


@dataclass(frozen=True)
class WordNGrams(CheckedModel):
    """Counts, and learns the discounts of each kind on ``samples`` positions.

    ``characters``, ``words``, ``lines`` and ``skips`` are the exponents. Raises ValueError for fields out of range.
    """

    characters: float = float_field(0.28, 0.0, 2.0, search=(0.0, 1.0))
    words: float = float_field(0.4, 0.0, 2.0, search=(0.0, 1.0))
    lines: float = float_field(0.28, 0.0, 2.0, search=(0.0, 1.0))
    skips: float = float_field(0.09, 0.0, 2.0, search=(0.0, 1.0))
    samples: int = int_field(50_000, "positions", 1, 10_000_000, log=True)
    batch: int = int_field(5_000, "positions", 1, 10_000_000, log=True)
    steps: int = int_field(25, "updates", 1, 100_000, log=True)
    lr: float = float_field(0.1, 1e-5, 10.0, log=True)

    name: ClassVar[str] = "n-grams of words and lines"

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedWordNGrams:
        """Count and learn; ``seed`` draws the positions, ``budget`` changes nothing. Raises ValueError without text."""
        ids, characters = text_ids(task, self.name, _LEAD + 2), len(task.alphabet)
        if characters ** (_RECENT + 1) >= 1 << _KEY_BITS:
            raise ValueError(
                f"{self.name}: strings of {_RECENT + 1} of {characters} characters do not fit into {_KEY_BITS} bits; "
                "use a text of fewer different characters"
            )
        states, following = _read_text(ids, task.alphabet)
        generator = torch.Generator().manual_seed(seed)
        places = torch.randint(len(following), (self.samples,), generator=generator)
        levels: list[list[tuple[Tensor, Tensor, Tensor]]] = [[] for _ in range(_LEVELS)]
        for kind, contexts in enumerate(contexts_of(states, characters)):
            counted = _count(contexts, following, characters)
            stats = [stats_of(keys, counts, characters) for keys, counts in counted]
            ends = [context[places] * characters + following[places] for context in contexts]
            left_out = _left_out([keys for keys, _ in counted], stats, ends)
            weights = learn_discounts(left_out, characters, generator, self.batch, self.steps, self.lr)
            for level, (keys, counts), every, weight in zip(
                levels[_LEVELS - len(counted) :], counted, stats, weights, strict=True
            ):
                discounts = discounts_of(weight)[every.bucket, counts.clamp(max=3) - 1]
                of_kind = (keys // characters * len(KINDS) + kind) * characters + keys % characters
                level.append((of_kind, counts, discounts))
        exponents = torch.tensor([self.characters, self.words, self.lines, self.skips])
        return FittedWordNGrams(
            task.alphabet, tuple(SuccessorTable.of(level, characters) for level in levels), exponents
        )


def _read_text(ids: Tensor, alphabet: str) -> tuple[Tensor, Tensor]:
    """The state of a reader (8, positions) before each character, and these characters (positions,).

    The first _LEAD characters are not among them, nor are the last ones that fill no stream.
    """
    streams = max(1, min(_STREAMS, (len(ids) - _LEAD) // (8 * _LEAD)))  # so that little is read twice
    length = (len(ids) - _LEAD) // streams
    rows = ids.unfold(0, _LEAD + length, length)[:streams]
    reader, states = Reader(alphabet, streams), []
    for column in range(_LEAD + length - 1):
        reader.read(rows[:, column].clone())
        if column >= _LEAD - 1:
            states.append(reader.state)
    return torch.stack(states, 2).flatten(1), rows[:, _LEAD:].flatten()


def _count(contexts: Sequence[Tensor], following: Tensor, characters: int) -> list[tuple[Tensor, Tensor]]:
    """Sorted keys and counts of the strings of each context and the character after it, the shortest first.

    As in Kneser-Ney smoothing: the longest are counted as they occur, every shorter one by how many different next
    longer ones it is the end of.
    """
    found, places = [], torch.arange(len(following))
    for context in reversed(contexts):
        keys, order = (context[places] * characters + following[places]).sort()
        first = torch.cat([torch.ones(1, dtype=torch.bool), keys[1:] != keys[:-1]]).nonzero()[:, 0]
        counts = torch.diff(first, append=torch.tensor([len(keys)]))
        found.append((keys[first], counts))
        places = places[order[first]]
    return found[::-1]


def _left_out(keys: Sequence[Tensor], stats: Sequence[NGramStats], ends: Sequence[Tensor]) -> list[NGramStats]:
    """The statistics of these strings (``ends``, of each order), each string left out of the text."""
    found, removed = [], torch.ones(len(ends[0]))
    for table, every, end in zip(reversed(keys), reversed(stats), reversed(ends), strict=True):
        here = every[lookup(table, end)[0]].without(removed)
        found.append(here)
        removed = removed * (here.count == 0)
    return found[::-1]
