"""The evaluator of text models: a model is shown a character only after it has said how likely each one is.

The text is read as several streams side by side, so that a model can work in batches; each stream is a contiguous
stretch, and is led in by the characters before it, which are not scored. What a model is handed is a copy of one
character of each stream: neither the rest of the text nor its storage is within its reach.

    loss = - mean ln p(next character)     bits per character = loss / ln 2     accuracy = share of likeliest ones right
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from sutrolib.core.types import Fitted, FittedText, Score, Split

SUM_TOLERANCE = 1e-3
CHUNK = 8192  # streams at a time where every prediction has a stream of its own


def minus_loss(log_probabilities: Tensor, labels: Tensor) -> float:
    """Mean of ln p(label), in nats: the negative of the cross-entropy loss, so that larger is better."""
    return log_probabilities.gather(1, labels).double().mean().item()


def loss(log_probabilities: Tensor, labels: Tensor) -> float:
    """Cross-entropy in nats per character."""
    return -minus_loss(log_probabilities, labels)


def bits_per_character(log_probabilities: Tensor, labels: Tensor) -> float:
    """Cross-entropy in bits per character."""
    return loss(log_probabilities, labels) / math.log(2)


def accuracy(log_probabilities: Tensor, labels: Tensor) -> float:
    """The share of characters that were held to be the likeliest."""
    return (log_probabilities.argmax(1, keepdim=True) == labels).double().mean().item()


TEXT_SCORES: Mapping[str, Score] = {"loss": loss, "bits per character": bits_per_character, "accuracy": accuracy}


@dataclass(frozen=True)
class StreamInference:
    """Reads the test text in ``streams`` contiguous streams of equal length, each led in by ``lead`` characters.

    With ``length``, each stream has so many characters, and there are as many streams as that takes. With ``at_once``,
    no more streams than that are read side by side, each such part by a reader of its own, so that memory is bounded.
    With ``window`` = 1 a model sees nothing but the one character before (streams of length 1 without a lead-in).
    ``alphabet`` is the one that the ids are of.
    """

    alphabet: str
    before: Tensor  # the end of the training text, which leads in the first stream
    streams: int = 240
    lead: int = 64
    window: int = 0  # characters of context; 0 for as many as the model wants
    length: int = 0  # characters of each stream; 0 for what `streams` makes of the text
    at_once: int = 0  # streams of one reader; 0 for all of them

    def predictions(self, fitted: Fitted, test: Split) -> Tensor:
        """Log-probabilities of shape (samples, characters), in the order of the text.

        Raises ValueError for a model of another alphabet, and for what is not a distribution.
        """
        reading = self._check(fitted)
        if self.window == 1:
            return torch.cat([self._ask(reading.reader(len(x)).next(x.clone())) for x in test.x.split(CHUNK)])
        lead, rows = self._streams(test)
        parts = rows.split(self.at_once or len(rows))
        return torch.cat([self._read(reading, part, lead).flatten(0, 1) for part in parts])[: len(test)]

    def alone(self, fitted: Fitted, test: Split, found: Tensor, count: int = 4) -> float:
        """By how much, at most, a probability in ``found`` differs from that of the same stream read by itself.

        A stream is led in by the end of the one before it, which stands beside it: a model that carries what it reads
        from one stream into another would know what it is to predict. ``count`` streams, spread over the text, are
        asked anew; 0 where all is one stream, which cannot be told of another.
        """
        lead, rows = self._streams(test)
        if self.window == 1 or len(rows) == 1:
            return 0.0
        width, reading = rows.shape[1] - lead, self._check(fitted)
        worst = 0.0
        for number in torch.linspace(0, len(rows) - 1, count).long().unique().tolist():
            there = found[number * width : (number + 1) * width]
            asked = self._read(reading, rows[number : number + 1], lead)[0, : len(there)]
            worst = max(worst, float((asked.exp() - there.exp()).abs().max()))
        return worst

    def _streams(self, test: Split) -> tuple[int, Tensor]:
        """The characters that lead in each stream, and all streams, those characters included, as rows."""
        count = len(test)
        streams = -(-count // self.length) if self.length else min(self.streams, count)
        length = self.length or -(-count // streams)
        lead = min(self.lead, len(self.before))
        # Streams that start every `length` characters; the last one is filled up with characters nobody scores.
        text = torch.cat([self.before[len(self.before) - lead :], test.x, test.x.new_zeros(streams * length - count)])
        return lead, text.unfold(0, lead + length, length)

    def _read(self, reading: FittedText, rows: Tensor, lead: int) -> Tensor:
        """Log-probabilities (streams, length, characters) of these streams, by a reader of their own."""
        reader = reading.reader(len(rows))
        for column in range(lead):
            reader.next(rows[:, column].clone())
        return torch.stack([self._ask(reader.next(rows[:, c].clone())) for c in range(lead, rows.shape[1])], 1)

    def run_inference(self, fitted: Fitted, test: Split, count: int) -> None:
        """``count`` predictions: 8 streams side by side, or one stream a prediction where the window is 1.

        Of a text that is read as one stream, its first ``count`` characters: a model that learns from what it reads has
        little of it to look up there yet.
        """
        reading = self._check(fitted)
        if self.window == 1:
            reading.reader(count).next(test.x.repeat(-(-count // len(test)))[:count].clone())
            return
        streams = 1 if self.streams == 1 else min(8, count)
        steps = -(-count // streams)
        rows = test.x.repeat(-(-streams * steps // len(test)))[: streams * steps].view(streams, steps)
        reader = reading.reader(streams)
        for column in range(steps):
            reader.next(rows[:, column].clone())

    def _check(self, fitted: Fitted) -> FittedText:
        if not hasattr(fitted, "reader"):
            raise ValueError(f"{type(fitted).__name__} does not read text, accepted are models with a reader()")
        reading = cast(FittedText, fitted)
        if reading.alphabet != self.alphabet:
            raise ValueError(
                f"the model was fitted on the {len(reading.alphabet)} characters {reading.alphabet!r}, "
                f"and this text has the {len(self.alphabet)} characters {self.alphabet!r}"
            )
        return reading

    def _ask(self, log_probabilities: Tensor) -> Tensor:
        sums = log_probabilities.exp().sum(1)
        if log_probabilities.shape[1] != len(self.alphabet) or not ((sums - 1).abs() < SUM_TOLERANCE).all():
            raise ValueError(
                f"predictions of shape {tuple(log_probabilities.shape)} that sum to {sums.min():.4g} ... "
                f"{sums.max():.4g}, accepted are distributions over {len(self.alphabet)} characters that sum to 1"
            )
        return log_probabilities
