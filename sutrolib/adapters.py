"""Text models in the interface of the group's wikitext benchmark (github.com/cybertronai/wikitext, README.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch

from sutrolib.core.types import FittedText, Model, Task
from sutrolib.problems.text import encode, shifted
from sutrolib.problems.text_evaluation import TEXT_SCORES, StreamInference, minus_loss

UNKNOWN = "\N{REPLACEMENT CHARACTER}"


class CharModel:
    """A trained text model that is asked for the next character, and then told which one it was.

    It knows the most frequent characters of its training text. All others, those that the text lacks included, are one
    class: :data:`UNKNOWN` stands for it in :meth:`predict`.
    """

    def __init__(self, fitted: FittedText, first: Mapping[str, float]) -> None:
        """``first`` is the distribution of a text's first character, which follows nothing."""
        self._fitted, self._first = fitted, dict(first)
        self._known = {character: number for number, character in enumerate(fitted.alphabet)}
        self.reset()

    @classmethod
    def train(cls, model: Model, text: str, seed: int = 0, characters: int = 128) -> CharModel:
        """Train any model of text on ``text``. At most so many ``characters`` are told apart, and the class of others.

        An n-gram of order k takes (characters + 1)^k < 2^63. Raises ValueError for less than 1 character to tell apart,
        and whatever the model raises.
        """
        if characters < 1:
            raise ValueError(f"characters must be at least 1 (got {characters})")
        kept = {character for character, _ in Counter(text).most_common(characters)} - {UNKNOWN}
        alphabet = "".join(sorted(kept | {UNKNOWN}))
        read = text.translate(dict.fromkeys(map(ord, set(text) - kept), UNKNOWN))
        train, counts = shifted(encode(read, alphabet)), Counter(read)
        inference = StreamInference(alphabet, train.y[-64:, 0].clone())
        task = Task(train, None, minus_loss, "minus loss", 0.0, TEXT_SCORES, inference, alphabet)
        fitted = model.fit(task.for_training(model.required_oracles), seed)
        total = len(read) + len(alphabet)
        return cls(fitted, {character: (counts[character] + 1) / total for character in alphabet})  # type: ignore[arg-type]

    def reset(self) -> None:
        """Forget what was observed."""
        self._decoder, self._found = self._fitted.decoder(1), self._first

    def predict(self) -> dict[str, float]:
        """The probability of each character to come next."""
        return dict(self._found)

    def observe(self, char: str) -> None:
        """Take note of the character that came. Raises ValueError for anything but one character."""
        if len(char) != 1:
            raise ValueError(f"char must be one character (got {char!r})")
        number = self._known.get(char, self._known[UNKNOWN])
        with torch.inference_mode():
            found = self._decoder.step(torch.tensor([number]))[0].exp().tolist()
        self._found = dict(zip(self._fitted.alphabet, found, strict=True))


def accuracy(model: CharModel, text: str) -> float:
    """The share of the text's characters that were the likeliest. Raises ValueError for an empty text."""
    if not text:
        raise ValueError("text is empty")
    model.reset()
    right = 0
    for char in text:
        predicted = model.predict()
        right += max(predicted, key=predicted.__getitem__) == char
        model.observe(char)
    return right / len(text)
