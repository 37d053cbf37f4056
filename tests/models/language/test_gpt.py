import math

import gpt as plain
import pytest
import torch
import torch.nn.functional as F
from texts import text_task

from sutrolib.core.types import Budget, Diverged
from sutrolib.measurement.measure import measure, score_of
from sutrolib.models.language import transformer
from sutrolib.models.language.gpt import _CUDA_LOSS_CHECK_STEPS, GPT
from sutrolib.models.language.transformer import OutOfMemory, Transformer
from sutrolib.problems.text import NextCharacter

SMALL = GPT(layers=2, heads=2, width=16, block_size=8, batch=4, max_steps=30, warmup=5, lr=1e-2, min_lr=1e-3)
TASK = text_task("to be or not to be, that is the question: " * 20, "not to be or to be is the question: " * 3)


def test_parameter_counts_are_those_published_for_nanogpt():
    assert round(GPT().network(65, 0).size / 1e6, 2) == 0.80
    assert round(GPT(layers=6, heads=6, width=384, block_size=256).network(65, 0).size / 1e6, 2) == 10.65


def test_it_computes_what_a_plain_transformer_of_that_architecture_computes():
    ours = GPT().network(65, seed=3).eval()
    theirs = plain.GPT()
    with torch.no_grad():
        theirs.tokens.weight.copy_(ours.characters.weight)
        theirs.positions.weight.copy_(ours.positions.weight)
        theirs.ln.weight.copy_(ours.norm.weight)
        for a, b in zip(ours.block_list(), theirs.blocks, strict=True):
            pairs = ("norm_1 ln_1", "norm_2 ln_2", "qkv attend", "attended project", "up up", "down down")
            for mine, other in (pair.split() for pair in pairs):
                getattr(b, other).weight.copy_(getattr(a, mine).weight)
        ids = torch.randint(65, (3, 65), generator=torch.Generator().manual_seed(0))
        loss = F.cross_entropy(ours(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        assert theirs(ids[:, :-1], ids[:, 1:]).item() == pytest.approx(loss.item(), abs=1e-6)


def test_the_start_is_that_of_gpt_2():
    network = GPT().network(65, seed=0)
    deviations = {name: w.std().item() for name, w in network.named_parameters() if w.dim() == 2}
    for name, deviation in deviations.items():
        expected = 0.02 / math.sqrt(8) if name.endswith(("attended.weight", "down.weight")) else 0.02
        assert deviation == pytest.approx(expected, rel=0.05), name
    assert not any(name.endswith("bias") for name, _ in network.named_parameters())
    x = torch.randint(65, (4, 65))
    loss = F.cross_entropy(network(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten()).item()
    assert loss == pytest.approx(math.log(65), abs=0.1)  # it begins by knowing nothing


def test_a_position_sees_nothing_after_it():
    network = SMALL.network(10, 0).eval()
    ids = torch.randint(10, (1, 8))
    changed = ids.clone()
    changed[0, 5:] = (changed[0, 5:] + 1) % 10
    before, after = network(ids), network(changed)
    assert torch.allclose(before[:, :5], after[:, :5], atol=1e-6)
    assert not torch.allclose(before[:, 5:], after[:, 5:], atol=1e-6)


def test_reading_a_character_at_a_time_is_predicting_with_the_whole_context():
    fitted = SMALL.fit(TASK.for_training(), 0)
    ids = torch.randint(len(TASK.alphabet), (3, 20), generator=torch.Generator().manual_seed(1))
    decoder = fitted.decoder(3)
    for position in range(20):
        began = position // 8 * 8  # the context begins anew when the block is full
        found = decoder.step(ids[:, position].clone())
        assert torch.allclose(found, fitted.predict(ids[:, began : position + 1]), atol=1e-5)


def test_it_learns_and_equal_seeds_learn_the_same():
    task = TASK.for_training()
    one, same, other = SMALL.fit(task, 0), SMALL.fit(task, 0), SMALL.fit(task, 1)
    assert score_of(TASK, one) == score_of(TASK, same) != score_of(TASK, other)
    more = GPT(**{**vars(SMALL), "max_steps": 200}).fit(task, 0)
    assert score_of(TASK, more) > -math.log(len(TASK.alphabet)) + 1
    assert (one.steps, one.nbytes) == (30, 4 * sum(p.numel() for p in one.network.parameters()))


def test_dropout_draws_from_the_seed_alone():
    model = GPT(**{**vars(SMALL), "dropout": 0.2})
    torch.manual_seed(1)
    one = model.fit(TASK.for_training(), 0)
    torch.manual_seed(2)
    assert score_of(TASK, one) == score_of(TASK, model.fit(TASK.for_training(), 0))


def test_the_rate_warms_up_and_falls_along_a_cosine():
    model = GPT()
    assert model.learning_rate(0) == pytest.approx(1e-3 / 101)
    assert model.learning_rate(100) == pytest.approx(1e-3)
    assert model.learning_rate(1050) == pytest.approx((1e-3 + 1e-4) / 2)
    assert model.learning_rate(2000) == pytest.approx(1e-4)


def test_only_matrices_decay():
    groups = SMALL.optimizer(SMALL.network(10, 0)).param_groups
    assert [g["weight_decay"] for g in groups] == [0.1, 0.0]
    assert [{p.dim() for p in g["params"]} for g in groups] == [{2}, {1}]


def test_the_learning_curve_is_of_text_that_was_not_trained_on():
    model = GPT(**{**vars(SMALL), "holdout": 0.1, "eval_every": 10})
    assert [step for step, _ in model.fit(TASK.for_training(), 0).history] == [10, 20, 30]
    assert SMALL.fit(TASK.for_training(), 0).history == ()


def test_a_budget_ends_it_at_the_same_place_of_the_schedule():
    part = SMALL.fit(TASK.for_training(), 0, Budget(steps=7))
    assert part.steps == 7


def test_a_loss_that_is_no_number_is_recorded_with_its_step(monkeypatch):
    model = GPT(layers=1, heads=1, width=8, block_size=8, batch=2, max_steps=5)
    real = GPT.update
    monkeypatch.setattr(GPT, "update", lambda self, *a: real(self, *a) if a[-1] < 3 else math.nan)
    with pytest.raises(Diverged, match="the loss was nan at step 4"):
        model.fit(TASK.for_training(), 0)
    found = measure(NextCharacter(characters=2000), model, [], 0)
    assert (found.score, found.solved, found.readings) == (None, False, ())
    assert "the loss was nan at step 4" in found.failure
    with pytest.raises(KeyError, match="nan at step 4"):
        found.reading("time")


def test_too_little_memory_names_the_batch_and_the_bytes(monkeypatch):
    monkeypatch.setattr(GPT, "update", lambda self, *a: torch.empty(2**60, dtype=torch.uint8))
    with pytest.raises(OutOfMemory, match=rf"batch=4: it requested {2**60} bytes"):
        SMALL.fit(TASK.for_training(), 0)


def test_other_errors_stay_what_they_are(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("something else")

    monkeypatch.setattr(GPT, "update", fail)
    with pytest.raises(RuntimeError, match="something else"):
        SMALL.fit(TASK.for_training(), 0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 10, "heads": 4}, "width must be a multiple of heads=4"),
        ({"layers": 0}, "layers must be"),
        ({"batch": 1.5}, "batch must be an integer"),
        ({"compile": "yes"}, "compile must be one of False, True .got 'yes'"),
        ({"device": "abacus"}, "device must be one of cpu, cuda"),
    ],
)
def test_fields_out_of_range_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        GPT(**fields)


def test_a_text_shorter_than_the_block_is_refused():
    with pytest.raises(ValueError, match=r"holdout=0\.5 leaves 60 characters"):
        GPT(holdout=0.5).fit(text_task("hello world " * 10), 0)
    with pytest.raises(ValueError, match="at least 65 characters"):
        GPT().fit(text_task("hello world"), 0)


def test_what_is_not_text_is_refused():
    from sutrolib.problems.parity import SparseParity

    with pytest.raises(ValueError, match="no alphabet"):
        GPT().fit(SparseParity().sample(0), 0)


def test_ids_and_lengths_out_of_range_are_refused():
    fitted = SMALL.fit(TASK.for_training(), 0, Budget(steps=1))
    with pytest.raises(ValueError, match=r"ids must be 0 to .*\(got 99 to 99\)"):
        fitted.decoder(1).step(torch.tensor([99]))
    with pytest.raises(ValueError, match="at most block_size=8 positions"):
        fitted.predict(torch.zeros(1, 9, dtype=torch.int64))


def on(device, model):
    """The same model on a device that is not offered, for want of a graphics card to test with."""
    object.__setattr__(model, "device", device)
    return model


class WithoutData(GPT):
    """On torch's device ``meta``: to look at a value there, or to mix it with another device, is an error."""

    def optimizer(self, network):
        return torch.optim.AdamW(network.parameters(), foreach=True)  # the fused one is not for that device

    def update(self, *arguments):
        loss = super().update(*arguments)
        assert (loss.device.type, loss.shape, loss.requires_grad) == ("meta", (), False)
        return 1.0  # a value to look at


def test_another_device_holds_everything_and_no_update_looks_at_a_value(monkeypatch):
    monkeypatch.setattr(transformer, "check_ids", lambda ids, characters: None)  # which looks at the ids, on the CPU
    fitted = on("meta", WithoutData(**{**vars(SMALL), "dropout": 0.1})).fit(TASK.for_training(), 0)
    assert (fitted.device.type, fitted.steps) == ("meta", 30)
    decoder, ids = fitted.decoder(3), torch.zeros(3, dtype=torch.int64, device="meta")
    for _ in range(10):
        assert decoder.step(ids).shape == (3, len(TASK.alphabet))
    assert {cache.device.type for cache in decoder.cache} == {"meta"}
    embed, asked = Transformer.embed, []
    monkeypatch.setattr(Transformer, "embed", lambda net, ids, *a: asked.append(ids.device.type) or embed(net, ids, *a))
    for ask in (fitted.decoder(3).step, lambda ids: fitted.predict(ids[:, None])):
        with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
            ask(torch.zeros(3, dtype=torch.int64))  # the answer goes back to where the ids came from
    assert asked == ["meta", "meta"]


@pytest.mark.parametrize(
    ("device", "updates", "seen"), [("cpu", 150, 4), ("meta", 150, _CUDA_LOSS_CHECK_STEPS), ("meta", 30, 30)]
)
def test_elsewhere_than_on_the_cpu_a_loss_is_seen_now_and_then_and_at_the_end(monkeypatch, device, updates, seen):
    model = on(device, WithoutData(layers=1, heads=1, width=8, block_size=8, batch=2, max_steps=updates))
    monkeypatch.setattr(WithoutData, "update", lambda self, *a: math.nan if a[-1] >= 3 else 1.0)
    with pytest.raises(Diverged, match=f"the loss was nan at step {seen}$"):
        model.fit(TASK.for_training(), 0)


def test_a_graphics_card_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="torch finds no graphics card; use device='cpu'"):
        GPT(device="cuda").fit(TASK.for_training(), 0)


def test_a_graphics_card_learns_what_the_cpu_learns():
    if not torch.cuda.is_available():
        pytest.skip("no graphics card")
    one, other = (GPT(**{**vars(SMALL), "device": device}).fit(TASK.for_training(), 0) for device in ("cpu", "cuda"))
    assert other.device.type == "cuda"
    assert score_of(TASK, other) == pytest.approx(score_of(TASK, one), abs=0.05)
    assert other.predict(TASK.test.x[:4, None]).device.type == "cpu"


def test_the_rate_can_fall_on_a_line():
    model = GPT(warmup=10, max_steps=110, lr=1.0, min_lr=0.2, decay="linear")
    rates = [model.learning_rate(step) for step in (10, 35, 60, 110, 200)]
    assert rates == pytest.approx([1.0, 0.8, 0.6, 0.2, 0.2])


def test_in_bfloat16_products_are_rounded_and_weights_are_not():
    exact, rounded = (
        GPT(**{**vars(SMALL), "precision": precision}).fit(TASK.for_training(), 1)
        for precision in ("float32", "bfloat16")
    )
    assert {weight.dtype for weight in rounded.network.parameters()} == {torch.float32}
    losses = [-score_of(TASK, fitted) for fitted in (exact, rounded)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], abs=0.02)


def test_an_evaluation_sees_the_model_so_far_changes_nothing_and_can_end_the_training():
    seen = {}

    def evaluation(updates, fitted):
        assert not fitted.network.training
        seen[updates] = score_of(TASK, fitted)
        return updates == 20

    dropping = GPT(**{**vars(SMALL), "dropout": 0.1})
    ended = dropping.fit(TASK.for_training(), 1, Budget(evaluation=evaluation, eval_every=10))
    assert ended.steps == 20
    assert list(seen) == [10, 20]
    for updates, score in seen.items():
        assert score_of(TASK, dropping.fit(TASK.for_training(), 1, Budget(steps=updates))) == pytest.approx(score)
