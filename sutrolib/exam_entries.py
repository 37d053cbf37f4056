"""What the final exam examines: at each scale a problem, the baseline to beat, and the entries of both divisions.

*Closed*: the baseline's architecture, size and inference function; only how it is trained may differ. *Open*: whatever
gives a distribution of the next character. The baselines are nanoGPT's published recipes for ``shakespeare_char``
(github.com/karpathy/nanoGPT, README and config/train_shakespeare_char.py); their losses there are 1.88 on a CPU and
1.4697 on a graphics card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sutrolib.measure import BY_HAND
from sutrolib.models.gpt import GPT
from sutrolib.models.ngram import KneserNey
from sutrolib.nouns import Model
from sutrolib.problems.examined import ExamText

CLOSED, OPEN = "closed", "open"
BASELINE = "baseline"


@dataclass(frozen=True)
class Entry:
    """A candidate: its ``model``, what it is in a sentence, and the rung of the process that found it.

    ``in_order`` reads the validation text as one stream, for a model that learns from what it has read.
    ``trace_updates`` is how much of its training is traced: None for all of it, which a training needs whose updates
    differ from each other (contexts or batches that grow); 0 for what the scale says.
    """

    name: str
    model: Model
    about: str
    in_order: bool = False
    process: str = BY_HAND
    trace_updates: int | None = 0


@dataclass(frozen=True)
class Scale:
    """One size of the exam. ``trace_updates`` is how many updates of a network's training are traced.

    Raises ValueError for entries whose names are not each one's own.
    """

    name: str
    problem: ExamText
    baseline: GPT
    trace_updates: int
    entries: Mapping[str, tuple[Entry, ...]]

    def __post_init__(self) -> None:
        for division, entries in self.entries.items():
            names = [BASELINE, *(entry.name for entry in entries)]
            if len(set(names)) < len(names):
                raise ValueError(f"{division}: entries {names[1:]}, accepted are names that differ, and not {BASELINE}")

    def division(self, name: str) -> tuple[Entry, ...]:
        """The entries of a division. Raises ValueError that lists the divisions which have any."""
        if not self.entries.get(name):
            there = ", ".join(division for division, entries in self.entries.items() if entries)
            raise ValueError(f"division {name!r} at scale {self.name}: no entries, accepted are {there or 'none'}")
        return self.entries[name]


def _divisions(closed: GPT, order: int) -> dict[str, tuple[Entry, ...]]:
    return {
        CLOSED: (Entry("faster rate", closed, f"{closed.max_steps} updates at a rate of {closed.lr:g}"),),
        OPEN: (Entry("counting", KneserNey(order), f"Kneser-Ney over strings of {order} characters"),),
    }


def smoke() -> Scale:
    """A training of seconds, to see that the whole exam works."""
    baseline = GPT(layers=2, heads=2, width=64, block=32, max_steps=200, warmup=20)
    problem = ExamText(characters=200_000, context=32, least=16, asked=2.6)
    closed = GPT(layers=2, heads=2, width=64, block=32, max_steps=150, warmup=20, lr=3e-3)
    return Scale("smoke", problem, baseline, 4, _divisions(closed, 4))


def cpu() -> Scale:
    """nanoGPT's recipe for a CPU, as published."""
    return Scale("cpu", ExamText(), GPT(), 10, _divisions(GPT(max_steps=1000, lr=3e-3), 4))


def gpu() -> Scale:
    """nanoGPT's recipe for a graphics card, as published."""
    shape = {"layers": 6, "heads": 6, "width": 384, "block": 256, "batch": 64}
    baseline = GPT(**shape, dropout=0.2, max_steps=5000, device="cuda")  # type: ignore[arg-type]
    closed = GPT(**shape, dropout=0.2, max_steps=2500, lr=3e-3, device="cuda")  # type: ignore[arg-type]
    return Scale("gpu", ExamText(context=256, least=128, asked=1.4697), baseline, 4, _divisions(closed, 4))


SCALES = {"smoke": smoke, "cpu": cpu, "gpu": gpu}


def scale_of(name: str) -> Scale:
    """The scale of this name. Raises ValueError that lists the known ones."""
    if name not in SCALES:
        raise ValueError(f"scale {name!r} is unknown, accepted are {', '.join(SCALES)}")
    return SCALES[name]()
