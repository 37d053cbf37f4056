"""Predictions of text models: a model reads a character only after it has given the probability of each character.

The text is split into contiguous streams that are read in parallel, so that a model can work in batches. The characters
before a stream lead it in; they are not scored. The model gets a copy of one character of each stream at a time, so it
can reach neither the rest of the text nor its storage.

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
from sutrolib.problems.digits import class_accuracy

_SUM_TOLERANCE = 1e-3
NANOGPT_LOSS = "loss in nanoGPT's windows"
_NANOGPT_WINDOWS, _NANOGPT_SEED = 200 * 12, 1337  # nanoGPT's eval_iters, batch_size and seed
_CHUNK = 8192  # streams at a time if every prediction has its own stream


def minus_loss(log_probabilities: Tensor, labels: Tensor) -> float:
    """Mean of ln p(label), in nats: the negative cross-entropy loss, so that larger is better."""
    return log_probabilities.gather(1, labels).double().mean().item()


def _loss(log_probabilities: Tensor, labels: Tensor) -> float:
    """Cross-entropy in nats per character."""
    return -minus_loss(log_probabilities, labels)


def _bits(log_probabilities: Tensor, labels: Tensor) -> float:
    """Cross-entropy in bits per character."""
    return _loss(log_probabilities, labels) / math.log(2)


TEXT_SCORES: Mapping[str, Score] = {"loss": _loss, "bits per character": _bits, "accuracy": class_accuracy}


@dataclass(frozen=True)
class StreamInference:
    """Reads the test text in ``streams`` contiguous streams of equal length, each led in by ``lead`` characters."""

    alphabet: str  # of the ids
    before: Tensor  # the end of the training text, which leads in the first stream
    streams: int = 240
    lead: int = 64
    window: int = 0  # 1: the model sees one character before each prediction and no lead-in; 0: no limit
    length: int = 0  # characters of each stream, in place of `streams`; 0: the text is split into `streams`
    max_streams: int = 0  # streams that one decoder reads, to bound the memory; 0: all

    def predictions(self, fitted: Fitted, test: Split) -> Tensor:
        """Log-probabilities of shape (samples, characters), in the order of the text.

        Raises:
            ValueError: the model has another alphabet, or its predictions are not distributions.
        """
        reading = self._check(fitted)
        if self.window == 1:
            return torch.cat(
                [self.check_distributions(reading.decoder(len(x)).step(x.clone())) for x in test.x.split(_CHUNK)]
            )
        lead, rows = self.windows(test)
        parts = rows.split(self.max_streams or len(rows))
        return torch.cat([self._read(reading, part, lead).flatten(0, 1) for part in parts])[: len(test)]

    def batch_invariance_gap(self, fitted: Fitted, test: Split, found: Tensor, count: int = 4) -> float:
        """The largest difference between a probability in ``found`` and that of the same stream read alone.

        The lead-in of a stream is the end of the stream before it: a model that mixes streams would know what it has to
        predict. ``count`` streams, spread over the text, are read again. 0 if there is one stream only.
        """
        lead, rows = self.windows(test)
        if self.window == 1 or len(rows) == 1:
            return 0.0
        width, reading = rows.shape[1] - lead, self._check(fitted)
        gaps = []
        for number in torch.linspace(0, len(rows) - 1, count).long().unique().tolist():
            together = found[number * width : (number + 1) * width]
            alone = self._read(reading, rows[number : number + 1], lead)[0, : len(together)]
            gaps.append((alone.exp() - together.exp()).abs().max())
        return float(torch.stack(gaps).max())  # unlike max(), it keeps a NaN

    def windows(self, test: Split) -> tuple[int, Tensor]:
        """The number of lead-in characters, and all streams as rows that begin with these characters."""
        count = len(test)
        streams = -(-count // self.length) if self.length else min(self.streams, count)
        length = self.length or -(-count // streams)
        lead = min(self.lead, len(self.before))
        # Streams that start every `length` characters; zeros, which are not scored, fill up the last one.
        text = torch.cat([self.before[len(self.before) - lead :], test.x, test.x.new_zeros(streams * length - count)])
        return lead, text.unfold(0, lead + length, length)

    def _read(self, reading: FittedText, rows: Tensor, lead: int) -> Tensor:
        """Log-probabilities (streams, length, characters) of these streams, by a new decoder."""
        decoder = reading.decoder(len(rows))
        for column in range(lead):
            decoder.step(rows[:, column].clone())
        return torch.stack(
            [self.check_distributions(decoder.step(rows[:, c].clone())) for c in range(lead, rows.shape[1])], 1
        )

    def nanogpt_loss(self, fitted: Fitted, test: Split, context: int, windows: int = _NANOGPT_WINDOWS) -> float:
        """The loss as nanoGPT estimates it: the mean over every position of windows at random starts.

        At the first position of a window a model knows one character, at the last one ``context``. Raises ValueError
        for a text that is not longer than a window.
        """
        if len(test) <= context:
            raise ValueError(f"windows need more than {context} characters (got {len(test)})")
        generator = torch.Generator().manual_seed(_NANOGPT_SEED)
        places = torch.randint(len(test) - context, (windows, 1), generator=generator) + torch.arange(context)
        labels, parts = test.y.flatten()[places], test.x[places].split(self.max_streams or windows)
        found = torch.cat([self._read(self._check(fitted), part, 0) for part in parts])
        return -minus_loss(found.flatten(0, 1), labels.view(-1, 1))

    def run_inference(self, fitted: Fitted, test: Split, count: int) -> None:
        """``count`` predictions in 8 parallel streams; a stream for each prediction if the window is 1.

        Of a text that is read as one stream, the first ``count`` characters: an online model knows little there yet.
        """
        reading = self._check(fitted)
        if self.window == 1:
            reading.decoder(count).step(test.x.repeat(-(-count // len(test)))[:count].clone())
            return
        streams = 1 if self.streams == 1 else min(8, count)
        steps = -(-count // streams)
        rows = test.x.repeat(-(-streams * steps // len(test)))[: streams * steps].view(streams, steps)
        decoder = reading.decoder(streams)
        for column in range(steps):
            decoder.step(rows[:, column].clone())

    def _check(self, fitted: Fitted) -> FittedText:
        if not hasattr(fitted, "decoder"):
            raise ValueError(f"{type(fitted).__name__} does not read text; use a model with a decoder()")
        reading = cast(FittedText, fitted)
        if reading.alphabet != self.alphabet:
            raise ValueError(
                f"the model was fitted on the {len(reading.alphabet)} characters {reading.alphabet!r}, "
                f"and this text has the {len(self.alphabet)} characters {self.alphabet!r}"
            )
        return reading

    def check_distributions(self, log_probabilities: Tensor) -> Tensor:
        """The predictions (..., characters) themselves. Raises ValueError if they are not distributions."""
        sums = log_probabilities.exp().sum(1)
        if log_probabilities.shape[1] != len(self.alphabet) or not ((sums - 1).abs() < _SUM_TOLERANCE).all():
            raise ValueError(
                f"predictions must be distributions over {len(self.alphabet)} characters that sum to 1 "
                f"(got shape {tuple(log_probabilities.shape)}, sums from {sums.min():.4g} to {sums.max():.4g})"
            )
        return log_probabilities
