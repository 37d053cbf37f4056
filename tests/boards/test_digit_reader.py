import numpy as np
import pytest
import torch

from sutrolib.boards import submission
from sutrolib.boards.digit_reader import DigitReader
from sutrolib.boards.scoring import score
from sutrolib.boards.submission import load_reader, read_digits
from sutrolib.core.types import Split, Task
from sutrolib.problems.digits import class_accuracy

FEW = 300


class Blobs:
    """Ten classes, each around a point of its own in 60 dimensions, of which only some matter."""

    def __init__(self, images="mnist", rows=FEW, noise=1.0):
        self.images, self.rows, self.noise = images, rows, noise
        self.asked = []

    def sample(self, seed):
        self.asked.append(seed)
        rng = np.random.default_rng(0)
        centres = rng.standard_normal((10, 60)) * (np.arange(60) < 8)
        splits = []
        for _ in range(2):
            y = rng.integers(0, 10, self.rows)
            x = (3 * centres[y] + self.noise * rng.standard_normal((self.rows, 60))).astype(np.float32)
            splits.append(Split(torch.from_numpy(x), torch.from_numpy(y)[:, None]))
        return Task(*splits, score=class_accuracy, score_name="accuracy", target=0.9)


def reader(**settings):
    return load_reader(DigitReader(centres=FEW, **settings).text())


def test_a_metric_from_gradients_makes_fewer_mistakes_where_few_directions_matter():
    problem = Blobs(noise=2.5)
    shares = []
    for updates in (0, 1):
        [(ms, share)] = read_digits(reader(updates=updates, width=8.0), [problem])["mnist"]
        assert ms > 0
        shares.append(share)
    assert 0.3 < shares[0] < shares[1]


def test_draws_are_not_known_before_and_each_dataset_is_called():
    problems = [Blobs("mnist"), Blobs("fashion"), Blobs("mnist")]
    found = read_digits(reader(), problems)
    assert {name: len(calls) for name, calls in found.items()} == {"mnist": 2, "fashion": 1}
    assert len({seed for problem in problems for seed in problem.asked}) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def my_method(", "line 1"),
        ("my_method = 3", "it defines no function my_method"),
        ("x = 1", "it defines no function my_method"),
        ("#" * 20_481, r"at most 20,480 bytes \(got 20,481\)"),
    ],
)
def test_what_is_no_reader_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        load_reader(text)
    with pytest.raises(ValueError, match=said):
        score(text, "mnist-60")


@pytest.mark.parametrize(
    ("body", "said"),
    [("1 / 0", r"ZeroDivisionError.*line 2"), ("test_x[:3, 0]", "RuntimeError"), ("None", "AttributeError")],
)
def test_a_reader_that_fails_is_not_accepted(body, said):
    method = load_reader(f"def my_method(train_x, train_y, test_x):\n    return {body}\n")
    with pytest.raises(RuntimeError, match=rf"my_method\(\) raises {said}"):
        read_digits(method, [Blobs()])


def test_the_slower_dataset_counts_and_the_other_must_be_learned_too(monkeypatch):
    monkeypatch.setattr(submission, "WhitenedDigits", Blobs)
    [(ms, share)] = submission._read(reader())
    assert ms > 0
    assert share > 0.9
    never = load_reader("def my_method(train_x, train_y, test_x):\n    return train_y * 0 + 11\n")
    with pytest.raises(RuntimeError, match=r"0.0% of Fashion-MNIST are right \(the board needs 15%\)"):
        submission._read(never)
