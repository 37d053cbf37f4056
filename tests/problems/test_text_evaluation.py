import dataclasses
import math

import pytest
import torch
from texts import Peeking, Uniform, text_task

from sutrolib.measurement.measure import measure, score_of
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextCharacter
from sutrolib.problems.text_evaluation import TEXT_SCORES

TASK = text_task("abcd" * 50, "abca" * 30 + "bcd")


def test_every_character_is_scored_once_and_in_order():
    shown = Uniform(TASK.alphabet)
    for streams in (1, 2, 7, 240):
        task = dataclasses.replace(TASK, inference=dataclasses.replace(TASK.inference, streams=streams, lead=0))
        shown.shown.clear()
        assert task.inference.predictions(shown, task.test).shape == (len(task.test), 4)
        read = torch.stack(shown.shown, 1).flatten()[: len(task.test)]
        assert torch.equal(read, task.test.x)


def test_streams_are_led_in_by_what_stands_before_them():
    shown = Uniform(TASK.alphabet)
    task = dataclasses.replace(TASK, inference=dataclasses.replace(TASK.inference, streams=3, lead=8))
    task.inference.predictions(shown, task.test)
    first = torch.stack(shown.shown, 1)[:, :8]
    length = -(-len(task.test) // 3)
    assert torch.equal(first[0], task.train.y[-8:, 0])
    assert torch.equal(first[1], task.test.x[length - 8 : length])


def test_a_uniform_model_has_the_loss_of_its_alphabet():
    predictions = TASK.inference.predictions(Uniform(TASK.alphabet), TASK.test)
    assert TASK.score(predictions, TASK.test.y) == pytest.approx(-math.log(4))
    assert TEXT_SCORES["bits per character"](predictions, TASK.test.y) == pytest.approx(2)


@pytest.mark.parametrize("window", [0, 1])
def test_a_model_that_peeks_finds_nothing_but_the_character_it_was_shown(window):
    task = dataclasses.replace(TASK, inference=dataclasses.replace(TASK.inference, window=window, streams=1))
    peeking = Peeking(task.alphabet)
    score = score_of(task, peeking)
    assert all(ids.untyped_storage().nbytes() == ids.numel() * ids.element_size() for ids in peeking.shown)
    assert score < -math.log(4)  # worse than knowing nothing
    # The same model, handed the rest of the text along with the character, would have been certain of every one.
    known = peeking.step(task.test.x[:-1])
    assert known.argmax(1).tolist()[:-1] == task.test.x[1:-1].tolist()


def test_what_does_not_sum_to_one_is_refused():
    class Greedy(Uniform):
        def step(self, ids):
            return super().step(ids) + 1

    with pytest.raises(ValueError, match=r"sums from 2\.718"):
        score_of(TASK, Greedy(TASK.alphabet))


def test_another_alphabet_is_refused():
    with pytest.raises(ValueError, match="fitted on the 3 characters 'abc', and this text has the 4 characters 'abcd'"):
        score_of(TASK, Uniform("abc"))


def test_a_model_of_tables_does_not_read_text():
    with pytest.raises(ValueError, match="FittedParity does not read text"):
        score_of(TASK, GF2Elimination().fit(SparseParity().sample(0), 0))


def test_a_thousand_predictions_are_a_thousand():
    for window in (0, 1):
        shown = Uniform(TASK.alphabet)
        inference = dataclasses.replace(TASK.inference, window=window)
        inference.run_inference(shown, TASK.test, 1000)
        assert sum(len(ids) for ids in shown.shown) == 1000


def test_text_is_measured_with_all_its_scores():
    from sutrolib.models.language.kneser_ney import KneserNey

    found = measure(NextCharacter(characters=20_000), KneserNey(3), [], 0, whole=True)
    assert found.scores["bits per character"] == pytest.approx(-found.score / math.log(2))
    assert found.rungs["problem"] == "shakespeare"
