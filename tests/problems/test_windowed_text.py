"""The exam's protocol: each character of the validation text is predicted once, from a bounded context."""

import dataclasses

import pytest
import torch
from texts import Uniform

from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.language.transformer import FittedGPT
from sutrolib.problems.holdout import search_holdout
from sutrolib.problems.text import WINDOWS_PER_DECODER, WindowedText, alphabet_of, encode, load_text

PROBLEM = WindowedText(characters=5000)


@pytest.mark.parametrize("max_streams", [WINDOWS_PER_DECODER, 5, 1])
def test_the_protocol_is_that_of_plain_windows_through_the_network(max_streams):
    task = PROBLEM.sample(0)
    network = GPT(layers=2, heads=2, width=16).network(len(task.alphabet), 0).eval()
    for weight in network.parameters():  # as drawn, all characters are equally likely
        weight.data.mul_(20 if weight.dim() == 2 else 1)
    inference = dataclasses.replace(task.inference, max_streams=max_streams)
    found = inference.predictions(FittedGPT(network, task.alphabet), task.test)

    text = torch.cat([task.train.y[-32:, 0], task.test.x])
    plain = []
    with torch.inference_mode():
        for start in range(0, len(task.test), 32):
            window = text[start : start + 64]  # 32 that lead in, and 32 after each of which one is predicted
            plain.append(network(window[None])[0, 32:].log_softmax(1))
    plain = torch.cat(plain)
    assert plain.shape == found.shape == (len(task.test), len(task.alphabet))
    assert found.exp().amax(1).median() > 2 / len(task.alphabet)
    torch.testing.assert_close(found, plain, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("context", "min_context"), [(64, 32), (16, 4), (9, 0), (100, 99)])
def test_every_character_is_predicted_once_with_at_least_min_context_characters_before_it(context, min_context):
    class Watching(Uniform):
        def decoder(self, streams):
            parts.append([])
            return self

        def step(self, ids):
            parts[-1].append(ids)
            return super().step(ids)

    parts = []
    task = dataclasses.replace(PROBLEM, context=context, min_context=min_context).sample(0)
    inference = dataclasses.replace(task.inference, max_streams=7)
    inference.predictions(Watching(task.alphabet), task.test)
    windows = torch.cat([torch.stack(part, 1) for part in parts])
    assert windows.shape[1] == context
    assert max(len(part[0]) for part in parts) <= 7
    assert torch.equal(windows[:, min_context:].flatten()[: len(task.test)], task.test.x)
    before = torch.cat([task.train.y[:, 0], task.test.x])
    at = len(task.train.y) + (context - min_context)
    assert torch.equal(windows[1], before[at - min_context : at + context - min_context])


def test_read_in_order_the_text_is_one_stream():
    shown = Uniform(PROBLEM.sample(0).alphabet)
    task = dataclasses.replace(PROBLEM, online=True).sample(0)
    task.inference.predictions(shown, task.test)
    read = torch.cat(shown.shown)
    assert torch.equal(read, torch.cat([task.train.y[-32:, 0], task.test.x]))
    assert task.inference.batch_invariance_gap(shown, task.test, torch.zeros(0)) == 0


class Mixing(Uniform):
    """Holds what any stream has shown to be likely in all of them."""

    def decoder(self, streams):
        return Mixing(self.alphabet)

    def step(self, ids):
        self.shown.append(ids)
        counts = torch.bincount(torch.cat(self.shown), minlength=len(self.alphabet)) + 0.1
        return (counts / counts.sum()).log().expand(len(ids), -1)


def test_a_reader_that_carries_from_one_window_into_another_is_told_from_one_that_does_not():
    task = PROBLEM.sample(0)
    for fitted in (KneserNey(3).fit(task.for_training(), 0), Uniform(task.alphabet)):
        assert (
            task.inference.batch_invariance_gap(fitted, task.test, task.inference.predictions(fitted, task.test)) < 1e-4
        )
    mixing = Mixing(task.alphabet)
    assert task.inference.batch_invariance_gap(mixing, task.test, task.inference.predictions(mixing, task.test)) > 0.01


def test_text_is_encoded_as_its_alphabet_counts_also_beyond_the_basic_plane():
    text = "to be, \U0001f480 or not\n"
    assert alphabet_of(text) == "".join(sorted(set(text)))
    for alphabet in (alphabet_of(text), alphabet_of(text)[::-1]):
        ids = encode(text, alphabet)
        assert ids.dtype == torch.int64
        assert "".join(alphabet[i] for i in ids.tolist()) == text
    assert encode("", "ab").tolist() == []
    for strange in ("\U0001f480", "a", "~"):
        with pytest.raises(ValueError, match="are not in the alphabet"):
            encode(f"to {strange}", "ot ")


def test_fields_out_of_range_are_refused():
    for fields in ({"min_context": 64}, {"min_context": -1}, {"context": 0}, {"target_loss": 0.0}, {"text": "no such"}):
        with pytest.raises(ValueError, match=f"{next(iter(fields))} must be"):
            WindowedText(**fields)


def test_it_is_rehearsed_on_its_training_part_with_all_else_the_same():
    part = search_holdout(WindowedText(target_loss=1.5, context=32, min_context=8))
    assert part == WindowedText(target_loss=1.5, context=32, min_context=8, characters=int(0.9 * len(load_text())))
    assert part.sample(0).target == -1.5
