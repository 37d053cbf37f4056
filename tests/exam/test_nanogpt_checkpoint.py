"""A trained network written for nanoGPT, and the loss as nanoGPT estimates it."""

import pytest
import torch
import torch.nn.functional as F
from exams import SHAPE
from nanogpt import NanoGPT

from sutrolib.exam.nanogpt_checkpoint import export, sample
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.problems.text import WindowedText

PROBLEM = WindowedText(characters=3000, context=8, min_context=4)


@pytest.fixture(scope="module")
def fitted():
    return GPT(**SHAPE, max_steps=20, lr=1e-2).fit(PROBLEM.sample(0).for_training(), 0)


@pytest.fixture
def theirs(fitted, tmp_path):
    """What nanoGPT's sample.py does with the files."""
    content = torch.load(export(fitted, tmp_path / "out"), weights_only=True)
    arguments = content["model_args"]
    assert arguments.pop("bias") is False
    assert arguments.pop("dropout") == 0
    names = ("n_layer", "n_head", "n_embd", "block_size", "vocab_size")
    network = NanoGPT(*(arguments.pop(name) for name in names))
    assert not arguments
    network.load_state_dict({name.removeprefix("transformer."): w for name, w in content["model"].items()})
    assert content["config"]["dataset"] == "shakespeare_char"
    return network


def test_the_files_hold_the_same_network(fitted, theirs):
    ids = torch.randint(len(fitted.alphabet), (3, 8), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(theirs(ids), fitted.network(ids), atol=1e-5)


def test_the_loss_is_the_mean_over_every_position_of_random_windows(fitted, theirs):
    task = PROBLEM.sample(0)
    found = task.inference.nanogpt_loss(fitted, task.test_split, 8, windows=50)
    generator = torch.Generator().manual_seed(1337)
    text = torch.cat([task.test_split.x, task.test_split.y[-1]])
    losses = []
    with torch.no_grad():
        for start in torch.randint(len(task.test_split) - 8, (50, 1), generator=generator).flatten().tolist():
            window = text[start : start + 9]
            losses.append(F.cross_entropy(theirs(window[None, :-1])[0], window[1:]))
    assert found == pytest.approx(float(torch.stack(losses).mean()), abs=1e-5)


def test_models_that_count_are_read_in_the_same_windows_and_short_texts_are_refused():
    task = PROBLEM.sample(0)
    bigram = KneserNey(2).fit(task.for_training(), 0)
    whole = -task.score(task.inference.predictions(bigram, task.test_split), task.test_split.y)
    assert task.inference.nanogpt_loss(bigram, task.test_split, 8) == pytest.approx(whole, abs=0.1)
    with pytest.raises(ValueError, match="windows need more than 300 characters"):
        task.inference.nanogpt_loss(bigram, task.test_split, 300)


def test_a_sample_is_text_of_the_alphabet_and_the_same_for_a_seed(fitted):
    found = sample(fitted, 40, seed=3, start="a b")
    assert found.startswith("a b")
    assert len(found) == 43
    assert set(found) <= set(fitted.alphabet)
    assert found == sample(fitted, 40, seed=3, start="a b")
    assert found != sample(fitted, 40, seed=4, start="a b")
    cold = sample(fitted, 5, seed=1, temperature=1e-6)
    decoder, text = fitted.decoder(1), "\n"
    for _ in range(5):  # the likeliest character each time
        text += fitted.alphabet[int(decoder.step(torch.tensor([fitted.alphabet.index(text[-1])])).argmax())]
    assert cold == text
