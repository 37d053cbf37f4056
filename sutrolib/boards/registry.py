"""The boards as data: what is asked, by which rule, the public best and its date, and how to hand in.

A level is a share that must be right, and the public best at that share: whoever reaches it at less cost is ahead. The
figures are those of the boards' own tables (github.com/cybertronai/sutro-problems and sparse-parity-challenge).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from sutrolib.boards.grid_text import MAX_LINES
from sutrolib.boards.instances import Instances, ParityShape, parity_draws, symmetry_instances
from sutrolib.meters.base import Kind

LABELS = "labels in every instance"
SOLVER, OPTIMIZER, READER = "solver", "optimizer", "reader"  # files of Python, see sutrolib.boards.submission
FILES = {SOLVER: "solve.py", OPTIMIZER: "submission.py", READER: "method.py"}
PARITY_SMALL = ParityShape(n=3, k=2, train=4, test=32, secrets=3, repeats=64)
PARITY_MEDIUM = ParityShape(n=8, k=3, train=8, test=64, secrets=56, repeats=8)
PARITY_MASK = ParityShape(n=32, k=5, train=18, test=0, secrets=256, repeats=8)
SEED = 2026  # of our instances, where the board draws its own anew
_PROBLEMS = "github.com/cybertronai/sutro-problems"
_PULL_REQUEST = f"pull request to {_PROBLEMS}, in {{}}/submissions: NAME.ir, NAME.py that rebuilds it, report NAME.md"
_FRESH = "The board draws new instances for each score; ours are {}, from seed " + f"{SEED} on."


@dataclass(frozen=True)
class Level:
    """The least share that must be right, and the lowest public cost with it; ``date`` is empty where none is known."""

    share: float
    best: float
    date: str

    @property
    def asked(self) -> str:
        """The share in per cent."""
        return f"{100 * self.share:.3g}%"


@dataclass(frozen=True)
class Board:
    """A public board.

    ``instruction_set`` is empty where a file of Python is handed in instead of a grid program: a ``file`` of which
    kind, and within how many seconds it must end. ``counted`` says of what a share is; ``instances`` are exact ones,
    drawn ``draws`` times as the board does it: the draw with the least share right decides.
    """

    name: str
    rule: str
    instruction_set: str
    counted: str
    levels: tuple[Level, ...]  # the easiest first
    source: str
    hand_in: str
    ours: str  # what is not as on the public board, or not known
    instances: Callable[[], Instances] | None = None
    draws: int = 1
    matrix_size: int = 0
    file: str = ""
    limit_s: float = 0
    max_lines: int = MAX_LINES
    kind: Kind = Kind.COUNTED  # of its cost

    def level(self, share: float) -> Level | None:
        """The highest level that this share reaches, None if it reaches none."""
        return max((level for level in self.levels if share >= level.share), key=lambda one: one.share, default=None)


def _matmul(n: int, best: int, date: str) -> Board:
    return Board(
        name=f"matmul-{n}",
        rule=f"C = A B for {n} x {n} matrices, as polynomials; inputs A, B and outputs C by rows",
        instruction_set="v0",
        counted="outputs",
        levels=(Level(1.0, best, date),),
        source=f"{_PROBLEMS}, matmul/README.md",
        hand_in=_PULL_REQUEST.format("matmul"),
        ours="As on the public board: the check is exact.",
        matrix_size=n,
    )


def _parity(name: str, shape: ParityShape, counted: str, levels: tuple[Level, ...], ours: str, draws: int = 1) -> Board:
    asked = f"label {shape.test} rows" if shape.test else f"the mask of {shape.n} cells, 1 for a secret bit"
    sets = f"{shape.repeats} training sets" if shape.repeats > 1 else "a training set"
    rule = f"sparse parity: {shape.n} bits, {shape.k} secret, {shape.train} training rows; {asked}"
    return Board(
        name=name,
        rule=f"{rule}; inputs X_train by rows, y_train, X_test by rows" if shape.test else rule,
        instruction_set="v3",
        counted=counted,
        levels=levels,
        source=f"{_PROBLEMS}, sparse-parity",
        hand_in=_PULL_REQUEST.format("sparse-parity"),
        ours=f"{_FRESH.format(f'{shape.secrets:,} secrets with {sets} each')} {ours}",
        instances=functools.partial(parity_draws, shape, SEED, draws),
        draws=draws,
    )


def _symmetry(n: int, best: int) -> Board:
    return Board(
        name=f"symmetry-{n}",
        rule=f"1 if {n} bits read the same from both ends, else 0; all {2**n} patterns",
        instruction_set="v3",
        counted="instances",
        levels=(Level(1.0, best, "2026-05-11"),),
        source=f"{_PROBLEMS}, symmetry/README.md",
        hand_in=_PULL_REQUEST.format("symmetry"),
        ours="As on the public board: every pattern is tested.",
        instances=functools.partial(symmetry_instances, n),
        max_lines=100_000,
    )


_ALL = (
    _matmul(4, 667, "2026-09-20"),
    _matmul(16, 63_290, "2026-09-18"),
    _parity(
        "parity-small",
        PARITY_SMALL,
        LABELS,
        (Level(1.0, 1_932, "2026-05-08"),),
        "The board takes one for each secret.",
    ),
    _parity(
        "parity-medium",
        PARITY_MEDIUM,
        LABELS,
        (Level(0.5, 8_723, "2026-05-09"), Level(1.0, 15_691, "2026-05-08")),
        "The board takes one for each of 8 secrets.",
    ),
    _parity(
        "parity-mask32",
        PARITY_MASK,
        "instances",
        (
            Level(0.4, 141_218, "2026-09-01"),
            Level(0.6, 149_665, "2026-09-01"),
            Level(0.8, 182_744, "2026-09-01"),
            Level(1.0, 382_794, ""),
        ),
        "The board draws once, and shares differ by several per cent between draws: here the least of five decides. "
        "Its 20 % level is left out, as is the date of 100 %: not known here.",
        draws=5,
    ),
    _symmetry(6, 20),
    _symmetry(8, 29),
    Board(
        name="parity-dmd",
        rule="solve(x, y, n_bits, k_sparse) finds 3 secret of 20 bits in 500 rows; data movement by a buffer clock",
        instruction_set="",
        counted="rows",
        levels=(Level(0.95, 19_153, ""),),
        source="github.com/cybertronai/sparse-parity-challenge, README.md",
        hand_in="issue 'Submission: NAME' of github.com/cybertronai/sparse-parity-challenge, with solve() as code",
        ours="The data are the public ones (seeds 42, 123, 456); the limit of 60 s is here for all three together. "
        "The date of the public best is not known here.",
        file=SOLVER,
        limit_s=60,
        kind=Kind.MODELLED,
    ),
    Board(
        name="caffeine",
        rule="Submission(model.parameters()), an optimizer, trains a self-attention of width 128 to a fixed teacher in "
        "400 updates of 512 sequences; cost: mean squared error on 2,048 others",
        instruction_set="",
        counted="trainings",
        levels=(Level(1.0, 0.198420, ""),),
        source="github.com/cybertronai/caffeine, README.md, track random_teacher",
        hand_in="pull request to github.com/cybertronai/caffeine, in submissions/NAME: submission.py and README.md",
        ours="Draws and seeds are the public ones; the board is measured on macOS (arm64), and rounding differs here. "
        "The date of the public best is not known here. No limit of time is stated there; ours is half an hour.",
        file=OPTIMIZER,
        limit_s=1800,
    ),
    Board(
        name="mnist-60",
        rule="my_method(train_x, train_y, test_x) labels 10,000 rows after 10,000 others: MNIST at 9 x 9, whitened to "
        "60 directions, turned, labels permuted; and 15 % of Fashion-MNIST; cost: ms of a call",
        instruction_set="",
        counted="rows",
        levels=(
            Level(0.946, 38.3, "2026-09-29"),
            Level(0.966, 38.3, "2026-09-29"),
            Level(0.973, 1_895.4, "2026-09-29"),
            Level(0.977, 3_784.2, "2026-09-29"),
            Level(0.981, 14_130.6, "2026-09-29"),
        ),
        source=f"{_PROBLEMS}, mnist-a100",
        hand_in=f"pull request to {_PROBLEMS}, in mnist-a100/submissions/NAME, with three runs on an A100",
        ours="The public bests are times on an A100, ours are of this machine, and compare with each other only. Here "
        "there are 3 calls on MNIST and 1 on Fashion-MNIST instead of 11 and 4, all in one process.",
        file=READER,
        limit_s=600,
        kind=Kind.MEASURED,
    ),
)
BOARDS = {board.name: board for board in _ALL}


def find_board(name: str) -> Board:
    """The board of this name. Raises ValueError for an unknown one."""
    if name not in BOARDS:
        raise ValueError(f"there is no board {name!r}; use {', '.join(BOARDS)}")
    return BOARDS[name]
