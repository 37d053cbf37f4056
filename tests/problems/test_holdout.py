import pytest
import torch

from sutrolib.core.types import FailedRun
from sutrolib.measurement.measure import score_of
from sutrolib.models.images.classifier import SoftmaxRegression
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.problems.digits import Digits
from sutrolib.problems.holdout import HeldOut, ShuffledLabels, search_holdout
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextCharacter, NextLetter


def rows(split):
    return {tuple(row.tolist()) for row in torch.cat([split.x, split.y], 1)}


def test_digits_are_rehearsed_on_their_training_samples_alone():
    real, part = Digits().sample(0), search_holdout(Digits()).sample(0)
    assert len(part.train) + len(part.test) == len(real.train)
    assert rows(part.train) | rows(part.test) == rows(real.train)
    assert not rows(part.test) & rows(real.test)
    assert rows(part.test) != rows(search_holdout(Digits()).sample(1).test)
    assert score_of(part, SoftmaxRegression().fit(part.for_training(), 0)) > 0.9


@pytest.mark.parametrize("problem", [NextCharacter(characters=20_000), NextLetter(characters=20_000)])
def test_a_text_is_rehearsed_on_its_training_part_alone(problem):
    real, part = problem.sample(0), search_holdout(problem).sample(0)
    seen = len(part.train) + len(part.test) + 2
    assert seen == pytest.approx(len(real.train), abs=2)
    assert torch.equal(part.train.x, real.train.x[: len(part.train)])
    tail = real.train.x[len(part.train) + 1 :][: len(part.test)]
    assert torch.equal(part.test.x[: len(tail)], tail)
    assert score_of(part, KneserNey(order=2).fit(part.for_training(), 0)) < 0


def test_a_whole_text_is_cut_at_nine_tenths():
    assert search_holdout(NextCharacter()).characters == pytest.approx(0.9 * 1_115_394, rel=0.02)


def test_a_parity_stands_for_itself():
    assert search_holdout(SparseParity(noise=0.1)) == SparseParity(noise=0.1)


def test_text_is_not_shuffled():
    with pytest.raises(ValueError, match="text has an order"):
        HeldOut(NextCharacter(characters=1000)).sample(0)
    with pytest.raises(ValueError, match="use a table"):
        ShuffledLabels(NextCharacter(characters=1000)).sample(0)


def test_shuffled_labels_are_the_same_labels_and_tell_nothing():
    real, control = SparseParity().sample(3), ShuffledLabels(SparseParity()).sample(3)
    assert control.train.y.sum() == real.train.y.sum()
    assert not torch.equal(control.train.y, real.train.y)
    assert torch.equal(control.test.y, real.test.y)
    assert not control.oracles
    with pytest.raises(FailedRun):
        GF2Elimination().fit(control.for_training(), 0)
