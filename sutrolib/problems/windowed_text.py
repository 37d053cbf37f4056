"""Next-character prediction as the final exam evaluates it: every position once, with a bounded context.

The validation text is read in windows of ``context`` characters. The first ``min_context`` of each window are the last
ones of the window before, and are not scored; so each character is predicted once, from ``min_context`` + 1 to
``context`` previous characters. A loss over windows without such an overlap, as in nanoGPT's training script, includes
characters with hardly any context; a sliding window would cost ``context`` times as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from sutrolib.core.types import Task, check_fields
from sutrolib.problems.text import _Text, alphabet_of, load_text

WINDOWS_PER_DECODER = 256  # keys and values of all windows at once would not fit into memory


@dataclass(frozen=True)
class WindowedText(_Text):
    """The last 10 % of the text in windows of ``context`` characters that overlap by ``min_context``.

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
