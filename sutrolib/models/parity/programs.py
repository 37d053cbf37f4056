"""Programs that find the secret of a sparse parity, number by number: a space to search for little data movement.

Each program is plain Python over lists of signs, so that a meter of such programs (``ProgramMeter``) can price every
number that it reads. The parts of a program are fields, so a search result is one setting of them. The families:

* ``gf2 bits``: Gaussian elimination modulo 2, equation by equation as they are read, one number per sign;
* ``gf2 rows``: the same with an equation in one word, packed by operators that are priced like all others;
* ``fourier``: for each subset the sum of label times product over the samples, or up to the first contradiction
  (``early_reject``); O'Donnell, Analysis of Boolean Functions, 2014, chapter 1;
* ``match``: columns of samples packed into words, and subsets whose words match the label's. Once k - 1 bits are
  chosen the last one follows (``backtracking``): a comparison, or a look into a word used as a set;
* ``eliminate``: sample by sample, keeping the subsets that no sample contradicts.

The public leaderboard loads all inputs, then all labels: ``layout="inputs, labels"``, which its rule prescribes. The
other layouts are for comparison. All training samples are loaded, even those that a program does not read. Every
program except a full Fourier sum knows when several subsets still fit, and reads on until one is left.

``consistency_test="signs"`` is a decision tree: it branches on each sign once, and then knows it for free, in its
control flow.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sutrolib.core.types import Budget, Task
from sutrolib.models.fields import CheckedModel, choice, int_field
from sutrolib.models.parity import program_parts
from sutrolib.models.parity.gf2 import FittedParity, Inconsistent, check_signs

_Run = Callable[[Callable[..., Any], Sequence[Any]], Any]


@dataclass(frozen=True)
class ParityProgram(CheckedModel):
    """A program for sparse parity; the default is a naive one, elimination bit by bit on 500 samples.

    Every family but ``eliminate`` reads at least ``samples``; ``match`` packs no more of them than fit into a word.
    """

    family: str = choice("gf2 bits", "gf2 rows", "fourier", "match", "eliminate")
    k: int = int_field(3, "bits", 1, 6)
    samples: int = int_field(500, "samples", 1, 500, search=(1, 500), log=True)
    sample_order: str = choice("first loaded", "last loaded")
    bit_order: str = choice("ascending", "descending")
    in_place: bool = choice(False, True)
    packing: str = choice("sample by sample", "column by column")
    subset_search: str = choice("subsets", "prefixes", "incremental")
    consistency_test: str = choice("subsets", "prefixes", "signs")
    copy_samples: bool = choice(False, True)
    early_reject: bool = choice(False, True)
    # A search must not change the rule unless it is asked to.
    layout: str = choice("inputs, labels", "labels, inputs", "samples", search=False)

    name: ClassVar[str] = "parity program"

    @property
    def prior_knowledge(self) -> str:  # type: ignore[override]
        """What the program knows beyond the samples; elimination finds out the size of the secret itself."""
        return "that it is a parity without noise" + ("" if self.family.startswith("gf2") else ", and k")

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> FittedParity:
        """Run the program unpriced. Exact: ``seed`` and ``budget`` change nothing. Raises as fit_by."""
        return self.fit_by(lambda program, arguments: program(*arguments), task, seed)

    def fit_by(self, run: _Run, task: Task, seed: int) -> FittedParity:
        """The subset that ``run(program, arguments)`` finds, given all training samples as signs.

        Raises:
            ValueError: A label is not -1 or +1, or a word cannot hold that many bits.
            Inconsistent: No subset fits the samples.
        """
        x, y = task.train.x, task.train.y
        check_signs(y, self.name)
        if self.family == "gf2 rows" and x.shape[1] >= program_parts.WORD_SIGNS:
            raise ValueError(
                f"{self.name}: family 'gf2 rows' takes fewer than {program_parts.WORD_SIGNS} bits (got {x.shape[1]})"
            )
        inputs, labels = x.int().tolist(), y[:, 0].int().tolist()
        arguments: list[Any] = [inputs, labels] if self.layout == "inputs, labels" else [labels, inputs]
        if self.layout == "samples":
            arguments = [[[*row, label] for row, label in zip(inputs, labels, strict=True)]]
        found, samples = run(program_parts.parity_program(self), arguments)
        if not found:
            raise Inconsistent(f"{self.name}: no parity of k={self.k} bits explains the samples")
        return FittedParity(tuple(sorted(found[0])), samples)

    def program_text(self, problem: Mapping[str, Any]) -> str:
        """Python source of its own, which defines ``program`` and needs only the standard library."""
        settings = f"SimpleNamespace(**{dataclasses.asdict(self)})"
        chosen = f"from types import SimpleNamespace\n\nprogram = parity_program({settings})\n"
        return f"{inspect.getsource(program_parts)}\n\n{chosen}"
