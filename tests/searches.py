"""A small problem and a small space, on which a trial takes a few milliseconds; and models that misbehave."""

from dataclasses import dataclass, field
from typing import ClassVar

from sutrolib.meters import OperationCount
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.dimension import Choice, Range
from sutrolib.processes.space import family_of, space_of

PROBLEM = SparseParity(n=6, k=2, n_train=400, n_test=200)
START = TwoLayerNetwork(hidden=100, max_epochs=20)
SPACE = space_of(START, hidden=Range(20, 200, log=True, integer=True), lr=Range(0.03, 1, log=True))
METER = OperationCount()


@dataclass(frozen=True)
class Crashing:
    """Does what its field says instead of learning."""

    how: str = field(default="raise", metadata={"choices": ("raise", "memory", "learn"), "search": True})

    name: ClassVar[str] = "crashing"
    prior_knowledge: ClassVar[str] = "samples only"
    required_oracles: ClassVar[tuple[str, ...]] = ()

    def fit(self, task, seed, budget=None):
        if self.how == "memory":
            raise MemoryError("Unable to allocate 1.00 TiB")
        if self.how == "raise":
            raise RuntimeError("out of order")
        return START.fit(task, seed, budget)


CRASHING = family_of(Crashing())
CHOICES = space_of(START, hidden=Choice((20, 50, 100)), lr=Choice((0.1, 0.3)))
