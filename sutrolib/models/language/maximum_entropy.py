"""A maximum-entropy n-gram: logits that are a sum of terms, fitted to counts.

There is a term for each of the last characters, and one for each of some contexts of two characters and more:

    logits = A0[c0] + A1[c1] + A2[c2] + ... + the values of the contexts that are the end of (..., c2, c1, c0)

The terms are fitted by iterative proportional fitting: each group of them in turn is scaled until the model expects as
many of each character as there are in the text. Darroch and Ratcliff, Generalized Iterative Scaling for Log-Linear
Models, Annals of Mathematical Statistics, 1972; Rosenfeld, A Maximum Entropy Approach to Adaptive Statistical Language
Modelling, Computer Speech and Language, 1996. Both numbers are raised by a constant before they are compared, so that
rare contexts change little; and the sweeps are few. Contexts are chosen by how much each raises the likelihood of the
text beyond what the next shorter one does, as in entropy pruning (Stolcke, DARPA Broadcast News Workshop, 1998).

The first sweeps are over short contexts, which are fewer; only the last ones are over all.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sutrolib.models.language.kneser_ney import lookup

_PRIOR = 3.0  # of every number of characters, expected or counted
_COARSE = 3  # characters of the contexts that the first sweeps are over
_SWEEPS = 1, 3, 4  # over the last characters' terms alone, over all terms of the coarse contexts, over all terms
_RARE = 20  # a context that is in the text less often has no term


@dataclass
class Terms:
    """``values`` (keys, characters), one row for each of the sorted ``keys``; ``wanted`` is what follows it, counted.

    A key is ``length`` characters, and ``skipped`` more are between it and the character that it is a context of.
    """

    keys: Tensor
    skipped: int
    length: int
    wanted: Tensor
    values: Tensor

    def places(self, contexts: Tensor) -> tuple[Tensor, Tensor]:
        """The row of each context, and whether there is one; the row is 0 where there is none."""
        characters = self.values.shape[1]
        return lookup(self.keys, contexts // characters**self.skipped % characters**self.length)


@dataclass(frozen=True)
class _Rows:
    """Where terms are added: to the ``rows`` of a table (None: to all of them), and ``place`` among the terms."""

    terms: Terms
    rows: Tensor | None
    place: Tensor


class MaximumEntropy:
    """The terms of an n-gram, fitted to ids (length,); at most ``units`` are for contexts of two characters and more.

    A context is one int64 key, the newest character least significant. ``last`` has the terms of each of the last
    characters, the newest first, and ``longer`` those of the contexts of 2, 3, ... characters.
    """

    def __init__(self, ids: Tensor, characters: int, order: int, units: int) -> None:
        self.characters, self.length = characters, order - 1
        small = characters**order < 1 << 31  # which are sorted in half the time
        strings = torch.zeros(len(ids) - self.length, dtype=torch.int32 if small else torch.int64)
        for offset in range(order):
            strings.mul_(characters).add_(ids[offset : offset + len(strings)])
        strings, counts = strings.unique(return_counts=True)
        strings = strings.long()
        self._following, self._times = strings % characters, counts.float()
        self.contexts, self._context = torch.unique_consecutive(strings // characters, return_inverse=True)
        self.counts = torch.zeros(len(self.contexts)).index_add_(0, self._context, self._times)
        self.last = [self._terms(torch.arange(characters), skipped, 1) for skipped in range(self.length)]
        self.longer = list[Terms]()
        coarse = min(_COARSE, self.length)
        self._fit(coarse, _SWEEPS[0])
        self.longer = self._choose(coarse, units)
        self._fit(coarse, _SWEEPS[1])
        if coarse < self.length:
            self._fit(self.length, _SWEEPS[2])
        for terms in (*self.last, *self.longer):
            terms.values -= terms.values.mean(1, keepdim=True)  # which changes no distribution
        for terms in self.last[1:]:  # what is the same for all characters becomes part of A0
            self.last[0].values += (mean := terms.values.mean(0))
            terms.values -= mean

    def logits(self, contexts: Tensor) -> Tensor:
        """Logits (contexts, characters) after contexts of ``order`` - 1 characters."""
        return self._sum(self._rows(contexts, self.length), len(contexts))

    def _rows(self, contexts: Tensor, length: int) -> list[_Rows]:
        """Which of the contexts, which have this length, have which terms."""
        found = []
        for terms in (*self.last, *self.longer):
            if terms.skipped + terms.length <= length:
                place, there = terms.places(contexts)
                rows = None if there.all() else there.nonzero()[:, 0]
                found.append(_Rows(terms, rows, place if rows is None else place[rows]))
        return found

    def _sum(self, added: list[_Rows], contexts: int) -> Tensor:
        found = torch.zeros(contexts, self.characters)
        for part in added:
            values = part.terms.values.index_select(0, part.place)
            found = found.add_(values) if part.rows is None else found.index_add_(0, part.rows, values)
        return found

    def _terms(self, keys: Tensor, skipped: int, length: int) -> Terms:
        """New terms, of value 0, with what follows each of the keys in the text."""
        values = torch.zeros(len(keys), self.characters)
        terms = Terms(keys, skipped, length, values, values.clone())
        place, there = terms.places(self.contexts)
        row = torch.where(there, place, len(keys))[self._context]  # the last row is for what has no term
        cells = (len(keys) + 1) * self.characters
        counted = torch.bincount(row * self.characters + self._following, self._times, cells).float()
        terms.wanted = counted.view(-1, self.characters)[:-1]
        return terms

    def _table(self, length: int) -> tuple[Tensor, Tensor]:
        """The contexts of this length in the text, and how often each is there, as a column."""
        if length == self.length:
            return self.contexts, self.counts[:, None]
        contexts, row = (self.contexts % self.characters**length).unique(return_inverse=True)
        return contexts, torch.zeros(len(contexts)).index_add_(0, row, self.counts)[:, None]

    def _fit(self, length: int, sweeps: int) -> None:
        """Sweep over all terms of this length at most, over the contexts of this length."""
        contexts, counts = self._table(length)
        groups = self._rows(contexts, length)
        expected = self._sum(groups, len(contexts)).softmax(1).mul_(counts)
        space = torch.empty_like(expected)
        for _ in range(sweeps):
            for group in groups:
                part, count = expected, counts
                if group.rows is not None:
                    part, count = expected.index_select(0, group.rows), counts[group.rows]
                ratio = torch.full_like(group.terms.wanted, _PRIOR).index_add_(0, group.place, part).reciprocal_()
                ratio *= group.terms.wanted + _PRIOR
                part *= torch.index_select(ratio, 0, group.place, out=space[: len(part)])
                part *= count / part.sum(1, keepdim=True)
                if group.rows is not None:
                    expected.index_copy_(0, group.rows, part)
                group.terms.values += ratio.log_()

    def _choose(self, coarse: int, units: int) -> list[Terms]:
        """Terms for the contexts that raise the likelihood most; over ``coarse`` contexts if they are no longer."""
        found, worths, shorter = list[Terms](), list[Tensor](), torch.empty(0)
        for length in range(2, self.length + 1):
            contexts, counts = self._table(max(length, coarse))
            keys, group = (contexts % self.characters**length).unique(return_inverse=True)
            frequent = torch.zeros(len(keys)).index_add_(0, group, counts[:, 0]) >= _RARE
            terms = self._terms(keys[frequent], 0, length)
            place, there = terms.places(contexts)
            expected = self.logits(contexts[there]).softmax(1).mul_(counts[there])
            expected = torch.full_like(terms.wanted, _PRIOR).index_add_(0, place[there], expected)
            change = (terms.wanted + _PRIOR).div_(expected).log_()
            beyond = change - shorter[found[-1].places(terms.keys)[0]] if found else change
            worths.append((terms.wanted * beyond).sum(1))
            found.append(terms)
            shorter = change
        if sum(map(len, worths)) > units:
            least = torch.cat(worths).sort(descending=True)[0][units - 1]
            for terms, worth in zip(found, worths, strict=True):
                kept = worth >= least
                terms.keys, terms.wanted, terms.values = terms.keys[kept], terms.wanted[kept], terms.values[kept]
        return found
