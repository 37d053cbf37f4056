"""Published figures of the problem axis: the text, nanoGPT, and the group's parity solvers."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Iterator

from sutrolib.guards.claims import Claim

NANO_GPT = "nanoGPT, README and training log (github.com/karpathy/nanoGPT)"
TINY = "tiny Shakespeare (github.com/karpathy/char-rnn, data/tinyshakespeare)"
CURRICULUM = "Sutro group, curriculum (cybertronai.github.io/SutroYaro/findings/exp_curriculum)"
GF2_NOISE = "Sutro group, GF(2) with noisy labels (cybertronai.github.io/SutroYaro/findings/exp_gf2_noise)"
LOCAL_RULES = "Sutro group, local learning rules (github.com/cybertronai/SutroYaro, DISCOVERIES.md)"
SEEDS = 20  # of the group's table of noisy labels


def problem_claims() -> Iterator[Claim]:
    """All of them; those that train for over ten seconds are marked slow."""
    yield Claim("characters of tiny Shakespeare, rebuilt", TINY, 1_115_394, lambda: len(_rebuilt()), 11_153)
    yield Claim("distinct characters of tiny Shakespeare, rebuilt", TINY, 65, lambda: len(set(_rebuilt())), 0)
    yield Claim("lines of tiny Shakespeare, rebuilt", TINY, 40_000, lambda: _rebuilt().count("\n"), 0)
    yield Claim("lines of tiny Shakespeare that the rebuilt text lacks, %", TINY, 0, _lines_lacking, 2, slow=True)
    for published, shape in ((0.80, {}), (10.65, {"layers": 6, "heads": 6, "width": 384, "block_size": 256})):
        count = functools.partial(_parameters, **shape)
        yield Claim(f"parameters of nanoGPT, {published} M, in millions", NANO_GPT, published, count, 0.005)
    loss = functools.partial(_nano_gpt_loss, "tinyshakespeare")
    yield Claim("validation loss of nanoGPT on a CPU, 2,000 steps", NANO_GPT, 1.88, loss, 0.04, slow=True)
    robust = functools.partial(_robust_solved, 0.1)
    yield Claim("noise-robust GF(2) solved at 10 % noise, %", GF2_NOISE, 100, robust, 0)
    yield Claim("accuracy of the Hebbian rule on n=20, k=3, %", LOCAL_RULES, 50, _hebbian_accuracy, 3)
    yield Claim("epochs of a curriculum to 95 %, n=50, k=3", CURRICULUM, 20, _curriculum_epochs, 10)
    yield Claim(
        "epochs of direct training to 95 %, n=50, k=3",
        CURRICULUM,
        292,
        _direct_epochs,
        apart="ours, of the same setting, has memorised its samples by then and is stopped after 500 epochs",
        slow=True,
    )


def _rebuilt() -> str:
    from sutrolib.problems.text import load_text

    return load_text("shakespeare")


def _lines_lacking() -> float:
    import difflib

    from sutrolib.problems.text import load_text

    original = load_text("tinyshakespeare").splitlines()
    matcher = difflib.SequenceMatcher(None, original, _rebuilt().splitlines(), autojunk=False)
    common = sum(size for _, _, size in matcher.get_matching_blocks())
    return 100 * (1 - common / len(original))


def _parameters(**shape: int) -> float:
    from sutrolib.models.language.gpt import GPT

    return GPT(**shape).network(65, seed=0).size / 1e6  # type: ignore[arg-type]


def _nano_gpt_loss(text: str) -> float:
    from sutrolib.measurement.measure import score_of
    from sutrolib.models.language.gpt import GPT
    from sutrolib.problems.text import NextCharacter

    task = NextCharacter(text=text).sample(0)
    return -score_of(task, GPT().fit(task.for_training(), 0))


def _robust_solved(noise: float) -> float:
    from sutrolib.models.parity.gf2_noisy import RobustGF2
    from sutrolib.problems.parity import SparseParity

    problem = SparseParity(noise=noise)
    found = [RobustGF2().fit(problem.sample(s).for_training(), s).subset == problem.secret(s) for s in range(SEEDS)]
    return 100 * statistics.mean(found)


def _hebbian_accuracy() -> float:
    from sutrolib.measurement.measure import score_of
    from sutrolib.models.parity.hebbian import Hebbian
    from sutrolib.problems.parity import SparseParity

    tasks = [SparseParity().sample(seed) for seed in range(5)]
    return 100 * statistics.mean(score_of(t, Hebbian().fit(t.for_training(), s)) for s, t in enumerate(tasks))


def _curriculum_epochs() -> float:
    from sutrolib.models.parity.curriculum import Curriculum
    from sutrolib.models.parity.mlp import TwoLayerNetwork
    from sutrolib.problems.parity import HARDER

    model = Curriculum(network=TwoLayerNetwork(stop_accuracy=0.95, patience=1))
    tasks = [HARDER["n=50, k=3"].sample(seed).for_training(model.required_oracles) for seed in range(5)]
    return statistics.median(len(model.fit(task, seed).history) for seed, task in enumerate(tasks))


def _direct_epochs() -> float:
    from sutrolib.models.parity.mlp import TwoLayerNetwork
    from sutrolib.problems.parity import HARDER

    model = TwoLayerNetwork(stop_accuracy=0.95, patience=1, max_epochs=500)
    return len(model.fit(HARDER["n=50, k=3"].sample(0).for_training(), 0).history)
