"""Next-character prediction as the final exam asks for it: every position once, with a bounded context.

The validation text is read in windows of ``context`` characters. The first ``least`` of each are the last ones of the
window before, and are not scored; so each character is predicted once, from the ``least`` + 1 to ``context`` characters
that stand before it. A loss over windows without such a lead-in, as in nanoGPT's training script, is a mean that
counts characters which have hardly any context; one over a sliding window would cost ``context`` times as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sutrolib.core.types import Task, check_fields
from sutrolib.problems.text import _Text, alphabet_of, load_text
from sutrolib.problems.text_evaluation import TEXT_SCORES, StreamInference, minus_loss

AT_ONCE = 256  # windows that one reader holds: keys and values of all of them would not fit into memory


@dataclass(frozen=True)
class ExamText(_Text):
    """The last 10 % of the text in windows of ``context`` characters, of which ``least`` lead in.

    ``asked`` is the loss in nats at which it counts as solved. With ``in_order`` the text is read as one stream from
    its beginning to its end, for a model that learns from what it has read. Fields out of range raise ValueError.
    """

    context: int = 64
    least: int = 32
    asked: float = 1.88  # README of nanoGPT (github.com/karpathy/nanoGPT), "I only have a macbook"
    in_order: bool = False

    name: ClassVar[str] = "next character, as examined"
    rung: ClassVar[str] = "shakespeare"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, {"context": (1, 65_536), "least": (0, self.context - 1), "asked": (1e-6, 100.0)})

    @property
    def target(self) -> float:
        """The score that is asked for: minus the loss."""
        return -self.asked

    def sample(self, seed: int) -> Task:
        """The task: x of shape (samples,), each id with the next one in y of shape (samples, 1)."""
        text = load_text(self.text)
        alphabet = alphabet_of(text)
        train, test = self._split(text, alphabet)
        before = train.y[len(train) - min(self.least, len(train)) :, 0].clone()
        inference = (
            StreamInference(alphabet, before, streams=1, lead=self.least)
            if self.in_order
            else StreamInference(alphabet, before, lead=self.least, length=self.context - self.least, at_once=AT_ONCE)
        )
        return Task(train, test, minus_loss, "minus loss", self.target, TEXT_SCORES, inference, alphabet)
