import pytest
from texts import text_task

from sutrolib.adapters import UNKNOWN, CharModel, accuracy
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.problems.text import encode

TEXT = "to be or not to be, that is the question. " * 20


def test_it_predicts_what_the_model_does_and_starts_with_the_frequencies():
    model, task = CharModel.train(KneserNey(4), TEXT), text_task(TEXT + UNKNOWN)
    first = model.predict()
    assert sum(first.values()) == pytest.approx(1)
    assert max(first, key=first.get) == " "
    for char in "to b":
        model.observe(char)
    found = model.predict()
    assert model.predict() == found
    other = KneserNey(4).fit(task.for_training(), 0).predict(encode("to b", task.alphabet)[None]).exp()[0]
    assert found["e"] == pytest.approx(other[task.alphabet.index("e")].item(), abs=0.02)
    model.reset()
    assert model.predict() == first


def test_characters_that_it_does_not_tell_apart_are_one_class():
    text = TEXT + "".join(map(chr, range(0x4E00, 0x4E00 + 1500)))
    with pytest.raises(ValueError, match="does not fit into 63 bits"):
        KneserNey(6).fit(text_task(text).for_training(), 0)
    model = CharModel.train(KneserNey(6), text, characters=20)
    assert len(model.predict()) == 21
    for char in "日本":  # in no text so far
        model.observe(char)
        found = model.predict()
        assert sum(found.values()) == pytest.approx(1, abs=1e-4)
        assert max(found, key=found.get) == UNKNOWN  # as of the rare ones, which follow each other
    assert CharModel.train(KneserNey(3), TEXT + UNKNOWN).predict()[UNKNOWN] > 0


def test_greedy_accuracy_and_any_model_of_text():
    assert accuracy(CharModel.train(KneserNey(5), TEXT), TEXT) > 0.9
    small = GPT(layers=1, heads=1, width=16, block_size=16, max_steps=2, warmup=1)
    assert 0 <= accuracy(CharModel.train(small, TEXT), "to be 日") <= 1


def test_bad_input_is_named():
    model = CharModel.train(KneserNey(2), TEXT)
    with pytest.raises(ValueError, match="one character \\(got 'ab'\\)"):
        model.observe("ab")
    with pytest.raises(ValueError, match=r"characters must be at least 1 \(got 0\)"):
        CharModel.train(KneserNey(2), TEXT, characters=0)
    with pytest.raises(ValueError, match="empty"):
        accuracy(model, "")
