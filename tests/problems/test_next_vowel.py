import pytest
import torch

from sutrolib.problems.text import LETTERS, NextVowel, in_letters, load_text


def test_it_has_the_shape_of_a_parity_of_twenty_bits():
    task = NextVowel(n_train=300, n_test=200).sample(0)
    assert task.train.x.shape == (300, 20)
    assert task.test.y.shape == (200, 1)
    assert set(task.train.x.unique().tolist()) == set(task.train.y.unique().tolist()) == {-1.0, 1.0}


def test_the_bits_are_letters_of_the_text_and_the_label_tells_a_vowel():
    task = NextVowel(n_train=100, n_test=1).sample(3)
    text = in_letters(load_text())
    values = (task.train.x < 0).long().view(100, 4, 5) @ torch.tensor([1, 2, 4, 8, 16])
    for numbers, label in zip(values.tolist(), task.train.y[:, 0].tolist(), strict=True):
        window = "".join(LETTERS[number] for number in numbers)
        vowel = [window + v in text for v in "aeiou"]
        assert any(vowel) if label > 0 else window in text


def test_equal_seeds_draw_equal_places_and_the_target_is_that_of_a_table():
    one, same, other = (NextVowel(n_train=50, n_test=50).sample(seed) for seed in (0, 0, 1))
    assert torch.equal(one.train.x, same.train.x)
    assert not torch.equal(one.train.x, other.train.x)
    assert one.target == other.target
    assert 0.7 < one.target < 0.8


def test_no_letters_are_refused():
    with pytest.raises(ValueError, match="letters must be"):
        NextVowel(letters=0)
