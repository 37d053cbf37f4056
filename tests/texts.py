"""Small texts for tests of the models that read them, and models of text that are wrong in one way each."""

import torch

from sutrolib.core.types import Task
from sutrolib.problems.text import encode
from sutrolib.problems.text import shifted as split_of
from sutrolib.problems.text_evaluation import TEXT_SCORES, StreamInference, minus_loss


def text_task(train, test="", **inference):
    """The task of predicting ``test`` after ``train``."""
    alphabet = "".join(sorted(set(train + test)))
    x = split_of(encode(train, alphabet))
    y = split_of(encode(test, alphabet)) if test else None
    asked = StreamInference(alphabet, x.y[-64:, 0].clone(), **inference)
    return Task(x, y, minus_loss, "minus loss", 0.0, TEXT_SCORES, asked, alphabet)


class Uniform:
    """Holds every character to be as likely as any other, and keeps what it was shown."""

    history, steps, nbytes = (), 0, 8

    def __init__(self, alphabet):
        self.alphabet, self.shown = alphabet, []

    def decoder(self, streams):
        return self

    def step(self, ids):
        self.shown.append(ids)
        return torch.full((len(ids), len(self.alphabet)), 1 / len(self.alphabet)).log()


class Peeking(Uniform):
    """Looks through what it is handed for more than it was told: the storage behind the ids."""

    def step(self, ids):
        super().step(ids)
        behind = torch.empty(0, dtype=ids.dtype).set_(ids.untyped_storage())
        beyond = behind[(ids.storage_offset() + 1) :]
        found = torch.full((len(ids), len(self.alphabet)), 1e-6)
        following = beyond[: len(ids)] if len(beyond) >= len(ids) else torch.zeros_like(ids)
        found.scatter_(1, following[:, None], 1.0)
        return (found / found.sum(1, keepdim=True)).log()
