"""Published figures that this project claims to reproduce: what a claim is, and those about problems and models."""

from __future__ import annotations

import difflib
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sutrolib.core.types import Model
from sutrolib.measurement.passes import score_of
from sutrolib.models.language.gpt import GPT
from sutrolib.models.parity.gf2 import RobustGF2
from sutrolib.models.parity.guided_network import Curriculum
from sutrolib.models.parity.hebbian import Hebbian
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import HARDER, SparseParity
from sutrolib.problems.text import NextCharacter, load_text

_NANO_GPT = "nanoGPT, README and training log (github.com/karpathy/nanoGPT)"
_TINY = "tiny Shakespeare (github.com/karpathy/char-rnn, data/tinyshakespeare)"
_CURRICULUM = "Sutro group, curriculum (cybertronai.github.io/SutroYaro/findings/exp_curriculum)"
_GF2_NOISE = "Sutro group, GF(2) with noisy labels (cybertronai.github.io/SutroYaro/findings/exp_gf2_noise)"
_LOCAL_RULES = "Sutro group, local learning rules (github.com/cybertronai/SutroYaro, DISCOVERIES.md)"
_NOISY_SEEDS = 20  # of the group's table of noisy labels


@dataclass(frozen=True)
class Claim:
    """One published figure: the quantity, its source, the value, and the tolerance for ours.

    ``known_difference`` says why ours is known to differ; it is then reported as differing, not as failing. ``slow``
    claims take over ten seconds. ``compute`` may raise OSError if it needs something that is not on this machine.
    """

    quantity: str
    source: str
    published: float
    compute: Callable[[], float]
    tolerance: float = 0.5  # half a unit in the last place of a figure published as a whole number
    known_difference: str = ""
    slow: bool = False

    def reproduce(self) -> Reproduction:
        """Our value, or the reason why it cannot be computed on this machine."""
        try:
            return Reproduction(self, self.compute())
        except OSError as error:
            return Reproduction(self, None, str(error))


@dataclass(frozen=True)
class Reproduction:
    """A claim with our value, or with the reason (``missing``) why it could not be computed."""

    claim: Claim
    ours: float | None
    missing: str = ""

    @property
    def difference(self) -> float | None:
        """Ours minus the published value."""
        return None if self.ours is None else self.ours - self.claim.published

    @property
    def passed(self) -> bool:
        """Whether the two agree within the claim's tolerance."""
        return self.difference is not None and abs(self.difference) <= self.claim.tolerance

    @property
    def result(self) -> str:
        """``pass``, ``fail``, ``differs`` if the claim says why, or ``not here``.

        A known difference that is gone fails, and so does a value that is not finite.
        """
        if self.ours is None:
            return "not here"
        if not math.isfinite(self.ours) or self.passed == bool(self.claim.known_difference):
            return "fail"
        return "pass" if self.passed else "differs"


def problem_claims() -> Iterator[Claim]:
    """The claims about the text, nanoGPT, and the group's parity solvers."""
    rebuilt = load_text("shakespeare")
    yield Claim("characters of tiny Shakespeare, rebuilt", _TINY, 1_115_394, lambda: len(rebuilt), 11_153)
    yield Claim("distinct characters of tiny Shakespeare, rebuilt", _TINY, 65, lambda: len(set(rebuilt)), 0)
    yield Claim("lines of tiny Shakespeare, rebuilt", _TINY, 40_000, lambda: rebuilt.count("\n"), 0)
    yield Claim("lines of tiny Shakespeare that the rebuilt text lacks, %", _TINY, 0, _lines_lacking, 2, slow=True)
    small, large = GPT(), GPT(layers=6, heads=6, width=384, block_size=256)
    yield Claim("parameters of nanoGPT, 0.8 M, in millions", _NANO_GPT, 0.80, lambda: _millions(small), 0.005)
    yield Claim("parameters of nanoGPT, 10.65 M, in millions", _NANO_GPT, 10.65, lambda: _millions(large), 0.005)
    yield Claim("validation loss of nanoGPT on a CPU, 2,000 steps", _NANO_GPT, 1.88, _nano_gpt_loss, 0.04, slow=True)
    yield Claim("noise-robust GF(2) solved at 10 % noise, %", _GF2_NOISE, 100, _robust_solved, 0)
    yield Claim("accuracy of the Hebbian rule on n=20, k=3, %", _LOCAL_RULES, 50, _hebbian_accuracy, 3)
    curriculum = Curriculum(network=TwoLayerNetwork(stop_accuracy=0.95, patience=1))
    yield Claim("epochs of a curriculum to 95 %, n=50, k=3", _CURRICULUM, 20, lambda: _epochs(curriculum, 5), 10)
    why = "ours, with the same settings, has memorised its samples by then and is stopped after 500 epochs"
    direct = TwoLayerNetwork(stop_accuracy=0.95, patience=1, max_epochs=500)
    what = "epochs of direct training to 95 %, n=50, k=3"
    yield Claim(what, _CURRICULUM, 292, lambda: _epochs(direct, 1), known_difference=why, slow=True)


def _lines_lacking() -> float:
    original, rebuilt = (load_text(name).splitlines() for name in ("tinyshakespeare", "shakespeare"))
    matcher = difflib.SequenceMatcher(None, original, rebuilt, autojunk=False)
    common = sum(size for _, _, size in matcher.get_matching_blocks())
    return 100 * (1 - common / len(original))


def _millions(model: GPT) -> float:
    return model.network(65, seed=0).size / 1e6


def _nano_gpt_loss() -> float:
    task = NextCharacter(text="tinyshakespeare").sample(0)
    return -score_of(task, GPT().fit(task.for_training(), 0))


def _robust_solved() -> float:
    problem, seeds = SparseParity(noise=0.1), range(_NOISY_SEEDS)
    solved = [RobustGF2().fit(problem.sample(s).for_training(), s).subset == problem.secret(s) for s in seeds]
    return 100 * statistics.mean(solved)


def _hebbian_accuracy() -> float:
    tasks = [SparseParity().sample(seed) for seed in range(5)]
    return 100 * statistics.mean(score_of(t, Hebbian().fit(t.for_training(), s)) for s, t in enumerate(tasks))


def _epochs(model: Model, seeds: int) -> float:
    """The median number of epochs on so many seeds of n=50, k=3."""
    tasks = [HARDER["n=50, k=3"].sample(seed).for_training(model.required_oracles) for seed in range(seeds)]
    return statistics.median(len(model.fit(task, seed).history) for seed, task in enumerate(tasks))
