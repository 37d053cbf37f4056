"""The final exam: what is measured, what is refused, and how an interrupted one resumes."""

import contextlib
import dataclasses
import functools
import json

import pytest
import torch
from exams import SHAPE, TINY, InThisProcess, fake_run, with_entry
from nanogpt import NanoGPT

import sutrolib.exam.run
from sutrolib.core.types import Budget, Diverged
from sutrolib.exam.closed_division import RuleBroken, check_closed_division
from sutrolib.exam.entries import BASELINE, CLOSED, OPEN, SCALES, Entry, Scale, TargetLoss, scale_of
from sutrolib.exam.evaluate import evaluate
from sutrolib.exam.nanogpt_checkpoint import nanogpt_weights
from sutrolib.exam.record import exam_path, read_record
from sutrolib.exam.run import run_exam
from sutrolib.exam.verdict import verdict_of
from sutrolib.meters import Joules
from sutrolib.meters.energy import joules
from sutrolib.meters.energy.combined import CombinedMeter
from sutrolib.meters.energy.counter import EnergyCounter
from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import FittedNGram, KneserNey
from sutrolib.models.language.transformer import FittedGPT, GPTDecoder
from sutrolib.problems.text import WindowedText

SPENT = [0.0]  # joules of the faked counter


@pytest.fixture(autouse=True)
def own_records(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path / "exam"))


@pytest.fixture
def untraced(monkeypatch):
    """Nothing is traced, and all runs are made in this process."""
    monkeypatch.setattr("sutrolib.exam.evaluate._traced", lambda *arguments: b"[[], {}]")
    for module in ("run", "evaluate"):
        monkeypatch.setattr(f"sutrolib.exam.{module}.FreshProcess", InThisProcess)


@pytest.fixture
def faked_counter(monkeypatch):
    """One counter of a graphics card, which counts what the models and problems of these tests say that they spend."""

    @contextlib.contextmanager
    def fake(*_):
        counter = EnergyCounter("gpu 0 (fake)", lambda: SPENT[0], window_s=0.0, max_watts=1e12)
        yield [counter], {"processor": "no counter here"}

    monkeypatch.setattr(joules, "energy_counters", fake)
    return [Joules(idle_s=0)]


@pytest.fixture
def held(monkeypatch):
    """Made-up runs: a list of those that were made, and a function to say at how many one is interrupted."""
    found, held_until = [], [-1]

    def fake(problem, model, seed, meter, **options):
        if len(found) == held_until[0]:
            raise KeyboardInterrupt
        found.append((seed, model))
        return fake_run(seed, energy=50.0 if model.max_steps == 3 else 100.0)

    monkeypatch.setattr(sutrolib.exam.run, "evaluate", fake)
    return found, functools.partial(held_until.__setitem__, 0)


def order():
    """Seeds in turn, every other one from the other end."""
    models = TINY.baseline, TINY.entries[CLOSED][0].model
    return [(seed, model) for seed in range(5) for model in models[:: 1 if seed % 2 == 0 else -1]]


@pytest.mark.parametrize("done", range(10))
def test_an_exam_that_is_interrupted_at_any_run_resumes_from_those_that_ended(held, done):
    found, until = held
    until(done)
    with pytest.raises(KeyboardInterrupt):
        run_exam(TINY, CLOSED, 5, meters=[])
    assert found == order()[:done]
    until(-1)
    record = run_exam(TINY, CLOSED, 5, meters=[])
    assert found == order()
    assert record.finished
    assert read_record(record.path) == record
    assert [path.name for path in record.path.parent.glob(".*")] == [".tiny_closed.lock"]


def test_a_finished_exam_is_shown_without_a_run_and_more_seeds_are_added_to_it(held):
    found, until = held
    first = run_exam(TINY, CLOSED, 6, meters=[])
    until(len(found))  # from here on every run would interrupt
    assert run_exam(TINY, CLOSED, 6, meters=[]) == first
    assert run_exam(TINY, CLOSED, 5, meters=[]) == first  # nor is a seed dropped that was run
    until(-1)
    more = run_exam(TINY, CLOSED, 7, meters=[])
    assert found[12:] == [(6, TINY.baseline), (6, TINY.entries[CLOSED][0].model)]
    assert (more.seeds, "--seeds 7" in more.command) == (7, True)


def test_again_starts_anew_and_keeps_the_old_record_under_another_name(held):
    found, _ = held
    old = run_exam(TINY, CLOSED, 5, meters=[])
    run_exam(TINY, CLOSED, 5, meters=[], again=True)
    assert len(found) == 20
    kept = [path for path in old.path.parent.glob("*.json") if path != old.path]
    assert [read_record(path) for path in kept] == [old]
    old.path.write_text("{")
    with pytest.raises(ValueError, match=r"tiny_closed\.json is not an exam record"):
        run_exam(TINY, CLOSED, 5, meters=[])
    run_exam(TINY, CLOSED, 5, meters=[], again=True)
    assert len(list(old.path.parent.glob("*.json"))) == 3


@pytest.mark.parametrize("seeds", [4, 0, -1, 2.0, "5"])
def test_fewer_than_five_seeds_are_refused(seeds):
    with pytest.raises(ValueError, match="seeds must be 5 to 1000"):
        run_exam(TINY, CLOSED, seeds, meters=[])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"baseline": GPT(**SHAPE, max_steps=5)}, "baseline: {'max_steps': 4}, now {'max_steps': 5}"),
        (
            {"problem": WindowedText(characters=3000, context=8, min_context=3)},
            "problem: {'min_context': 4}, now {'min_context': 3}",
        ),
        ({"entries": {CLOSED: (Entry("other", TINY.baseline, ""),)}}, "entries: {'other rate': .*now .*'other': "),
    ],
)
def test_a_record_of_another_exam_is_refused_and_what_differs_is_named(held, change, named):
    run_exam(TINY, CLOSED, 5, meters=[])
    with pytest.raises(ValueError, match=f"tiny_closed.json holds another exam; {named}.*--again"):
        run_exam(dataclasses.replace(TINY, **change), CLOSED, 5, meters=[])
    assert len(held[0]) == 10


@pytest.mark.parametrize(
    ("field", "there", "named"),
    [
        ("machine", {"processor": "an abacus"}, "machine: {'processor': 'an abacus'}"),
        ("versions", {"torch": "0.4"}, "versions: {'torch': '0.4'}"),
    ],
)
def test_a_seed_begun_on_another_machine_or_torch_is_not_ended_here_and_the_next_seed_can_be_run(
    held, field, there, named
):
    path = run_exam(TINY, CLOSED, 5, meters=[]).path
    fields = json.loads(path.read_bytes())
    fields[field] |= there
    path.write_text(json.dumps(fields))
    assert run_exam(TINY, CLOSED, 5, meters=[]).finished  # what is finished can be read anywhere
    for _ in range(2):
        sittings = run_exam(TINY, CLOSED, 6, meters=[]).earlier_sittings
        assert [sitting[field] for sitting in sittings] == [fields[field]]
    fields["measurements"]["baseline"].pop()
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match=f"holds another exam; {named}, now .*--again"):
        run_exam(TINY, CLOSED, 5, meters=[])


def test_another_version_of_the_library_is_not_another_exam(held):
    path = run_exam(TINY, CLOSED, 5, meters=[]).path
    fields = json.loads(path.read_bytes())
    fields["versions"]["sutrolib"] = "0.0"
    fields["commit"] = "another"
    path.write_text(json.dumps(fields))
    assert run_exam(TINY, CLOSED, 5, meters=[]).commit == "another"


class SpendingText(WindowedText):
    """Spends 3 J on its tokenisation."""

    def sample(self, seed):
        SPENT[0] += 3
        return super().sample(seed)


@dataclasses.dataclass(frozen=True)
class Spending(KneserNey):
    """Spends 5 J in its fit."""

    def fit(self, task, seed, budget=None):
        SPENT[0] += 5
        fitted = super().fit(task, seed, budget)
        return FittedSpending(fitted.alphabet, fitted.orders)


@dataclasses.dataclass(frozen=True)
class FittedSpending(FittedNGram):
    def decoder(self, streams):
        SPENT[0] += 11  # for each use
        return super().decoder(streams)


def test_tokenisation_and_fit_are_measured_and_the_evaluation_is_not(faked_counter, untraced):
    problem = SpendingText(characters=3000, context=8, min_context=4)
    run = evaluate(problem, Spending(2), 0, CombinedMeter(faked_counter))
    assert run.reading("joules").value == 3 + 5
    assert run.reading("inference-joules").value == 11
    assert run.reading("joules").detail["runs"] == run.reading("time").detail["runs"]
    assert run.reading("validation-time").detail["runs"] == 1
    assert run.scores["loss"] == pytest.approx(-run.score)


def fitted_of(model, characters=11, seed=0):
    return FittedGPT(model.network(characters, seed).eval(), "abcdefghijklmnopqrstuvwxyz"[:characters])


BASE = GPT(layers=2, heads=2, width=8, block_size=8)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"width": 16}, r"characters.weight is \(11, 16\).*the baseline's \(11, 8\)"),
        ({"layers": 3}, "blocks.2.*the baseline's None"),
        ({"layers": 1}, "blocks.1.* is missing"),
        ({"block_size": 16}, r"positions.weight is \(16, 8\)"),
        ({"heads": 4}, r"heads is \[4\], the baseline's \[2\]"),
    ],
)
def test_closed_refuses_another_shape_and_says_what_differs(change, named):
    fitted = fitted_of(dataclasses.replace(BASE, **change))
    with pytest.raises(RuleBroken, match=named):
        check_closed_division(fitted, BASE, fitted.alphabet)


def test_closed_refuses_other_weights_other_decoders_and_other_computations():
    class Sharper(GPTDecoder):
        def step(self, ids):
            return (2 * super().step(ids)).log_softmax(1)

    class FittedSharper(FittedGPT):
        def decoder(self, streams):
            return Sharper(self, streams)

    plain = fitted_of(BASE)
    half = FittedGPT(BASE.network(11, 0).to(torch.bfloat16).eval(), plain.alphabet)
    with pytest.raises(RuleBroken, match=r"torch\.bfloat16, the baseline's .* torch.float32"):
        check_closed_division(half, BASE, plain.alphabet)
    with pytest.raises(RuleBroken, match=r"must be GPTDecoder \(got Sharper\)"):
        check_closed_division(FittedSharper(plain.network, plain.alphabet), BASE, plain.alphabet)
    task = TINY.problem.sample(0)
    counted = KneserNey(2).fit(task.for_training(), 0)
    with pytest.raises(RuleBroken, match="got FittedNGram"):
        check_closed_division(counted, BASE, task.alphabet)
    hooked = fitted_of(BASE)
    hooked.network.norm.register_forward_hook(lambda module, given, result: 3 * result + 1)
    with pytest.raises(RuleBroken, match="off the plain network with its weights"):
        check_closed_division(hooked, BASE, plain.alphabet)


def test_closed_scores_the_weights_in_a_network_of_the_baseline():
    fitted = fitted_of(dataclasses.replace(BASE, dropout=0.5), seed=3)
    judged = check_closed_division(fitted, BASE, fitted.alphabet)
    assert judged.network is not fitted.network
    assert not judged.network.training
    ids = torch.randint(11, (3, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(judged.network(ids), fitted.network(ids))


def test_trained_weights_give_the_same_logits_in_nanogpts_own_module():
    task = TINY.problem.sample(0)
    model = GPT(layers=2, heads=2, width=16, block_size=8, batch=4, max_steps=20, warmup=1, lr=1e-2)
    fitted = model.fit(task.for_training(), 0)
    plain = NanoGPT(layers=2, heads=2, width=16, context=8, characters=len(task.alphabet))
    weights = nanogpt_weights(check_closed_division(fitted, model, task.alphabet))
    plain.load_state_dict({name.removeprefix("transformer."): weight for name, weight in weights.items()})
    ids = task.test.x[:40].view(5, 8)
    with torch.inference_mode():
        logits = plain(ids)
        torch.testing.assert_close(fitted.network(ids), logits, rtol=1e-4, atol=1e-5)
        decoder = fitted.decoder(5)
        read = torch.stack([decoder.step(column) for column in ids.unbind(1)], 1)
        torch.testing.assert_close(read, logits.log_softmax(2), rtol=1e-4, atol=1e-4)
    assert logits.std() > 0.05


@pytest.mark.slow
def test_another_architecture_in_the_closed_division_is_a_failed_run(untraced):
    wider = GPT(**{**SHAPE, "width": 16}, max_steps=2)
    record = run_exam(with_entry(wider, CLOSED), CLOSED, 5, meters=[])
    (run, *_) = record.runs("entry")
    assert "(16," in run.failure or ", 16)" in run.failure
    assert (run.score, run.readings) == (None, ())
    assert verdict_of(record, "entry").text.startswith("entry: not passed; entry failed on seed 0 (closed: ")


@dataclasses.dataclass(frozen=True)
class Diverging(KneserNey):
    def fit(self, task, seed, budget=None):
        if seed == 2:
            raise Diverged("the loss was nan at step 7")
        return super().fit(task, seed, budget)


@pytest.mark.slow
def test_a_training_that_fails_is_recorded_and_not_run_again(untraced):
    scale = with_entry(Diverging(2))
    record = run_exam(scale, OPEN, 5, meters=[])
    assert [bool(run.failure) for run in record.runs("entry")] == [False, False, True, False, False]
    found = verdict_of(record, "entry")
    assert not found.passed
    assert "entry failed on seed 2 (the loss was nan at step 7)" in found.text
    assert {line.pairs for line in found.lines} == {4}
    finished = []
    assert run_exam(scale, OPEN, 5, meters=[], on_run=lambda *run: finished.append(run)) == record
    assert finished == []


@dataclasses.dataclass(frozen=True)
class Leaking:
    """Every window sees what the other windows have shown, which is what it has to predict."""

    alphabet: str
    history, steps, nbytes = (), 0, 8

    def decoder(self, streams):
        return LeakingDecoder(torch.full((len(self.alphabet),), 0.1))


class LeakingDecoder:
    def __init__(self, counts):
        self.counts = counts

    def step(self, ids):
        self.counts += torch.bincount(ids, minlength=len(self.counts))
        return (self.counts / self.counts.sum()).log().expand(len(ids), -1)


@dataclasses.dataclass(frozen=True)
class FitsLeaking(KneserNey):
    def fit(self, task, seed, budget=None):
        return Leaking(task.alphabet)


def test_a_model_that_leaks_text_from_one_window_into_another_is_refused(untraced):
    assert "changes by" in evaluate(TINY.problem, FitsLeaking(2), 0, CombinedMeter([])).failure
    online = dataclasses.replace(TINY.problem, online=True)
    assert evaluate(online, FitsLeaking(2), 0, CombinedMeter([])).failure == ""


def test_an_online_entry_reads_the_text_as_one_stream(monkeypatch):
    problems = []

    def fake(problem, model, seed, meter, **options):
        problems.append(problem)
        return fake_run(seed)

    monkeypatch.setattr(sutrolib.exam.run, "evaluate", fake)
    record = run_exam(with_entry(KneserNey(2), online=True), OPEN, 5, meters=[])
    assert {p.online for p in problems[::2]} | {p.online for p in problems[1::2]} == {False, True}
    assert record.entries["entry"]["online"]


@pytest.mark.slow
def test_the_first_seed_is_traced_in_training_and_use(faked_counter):
    run = evaluate(
        TINY.problem, TINY.baseline, 0, CombinedMeter([]), closed=TINY.baseline, traced=True, trace_updates=2
    )
    names = {reading.name for reading in run.readings}
    for name in ("cache-energy", "operations", "peak_memory"):
        assert {name, f"inference-{name}"} <= names
    assert run.reading("operations").detail["traced_updates"] == 2
    assert run.reading("cache-energy").kind == "modelled"
    counted = evaluate(TINY.problem, KneserNey(2), 0, CombinedMeter([]), traced=True, trace_updates=2)
    assert counted.reading("operations").kind == "counted"
    assert "cache-energy" not in {r.name for r in evaluate(TINY.problem, KneserNey(2), 1, CombinedMeter([])).readings}


@pytest.mark.parametrize(
    "model",
    [GPT(**SHAPE, max_steps=24, lr=1e-2), DistilledGPT(1, 2, 8, 8, batch=4, max_steps=24, lr=1e-2, teacher_order=2)],
)
def test_a_training_to_a_target_ends_at_the_first_evaluation_that_reaches_it(untraced, model):
    def loss_after(updates):
        task = TINY.problem.sample(0)
        fitted = model.fit(task.for_training(), 0, Budget(steps=updates))
        return -task.score(task.inference.predictions(fitted, task.test_split), task.test_split.y)

    losses = {updates: loss_after(updates) for updates in (4, 8, 12, 16, 20, 24)}
    target = losses[12] + 1e-4
    first = next(updates for updates, loss in losses.items() if loss <= target)
    run = evaluate(TINY.problem, model, 0, CombinedMeter([]), stop=TargetLoss(target, 4))
    updates = run.reading("updates")
    assert updates.value == first
    assert run.scores["loss"] == pytest.approx(losses[first], abs=1e-5)
    assert dict(updates.detail["curve"]) == pytest.approx(
        {step: loss for step, loss in losses.items() if step <= first}, abs=1e-4
    )
    missed = evaluate(TINY.problem, model, 0, CombinedMeter([]), stop=TargetLoss(0.1, 4))
    assert missed.reading("updates").value == 24
    assert missed.scores["loss"] == pytest.approx(losses[24], abs=1e-5)


def test_the_training_that_is_charged_ends_there_too_and_a_model_without_updates_is_trained_whole(
    faked_counter, untraced
):
    def spent(model, **options):
        return evaluate(TINY.problem, model, 0, CombinedMeter(faked_counter), **options).reading("joules").value

    whole = Drawing(**SHAPE, max_steps=12)
    assert spent(whole) == 24
    assert spent(whole, stop=TargetLoss(100.0, 4)) == 8  # the first evaluation, after four updates
    run = evaluate(TINY.problem, KneserNey(2), 0, CombinedMeter([]), stop=TargetLoss(100.0, 4))
    assert "updates" not in {reading.name for reading in run.readings}
    assert run.failure == ""


def test_in_a_scale_with_evaluations_every_run_is_traced_and_ends_at_its_target(monkeypatch):
    seen = []

    def fake(problem, model, seed, meter, **options):
        seen.append((options["traced"], options["stop"]))
        return fake_run(seed)

    monkeypatch.setattr(sutrolib.exam.run, "evaluate", fake)
    run_exam(dataclasses.replace(TINY, evaluations=2), CLOSED)
    assert set(seen) == {(True, TargetLoss(1.88, 2))}  # of four updates, and of three
    seen.clear()
    run_exam(dataclasses.replace(TINY, name="other"), OPEN)
    assert {stop for _, stop in seen} == {None}
    record = read_record(exam_path("tiny", CLOSED))
    assert record.evaluations == 2
    with pytest.raises(ValueError, match="evaluations: 2, now 0"):
        run_exam(TINY, CLOSED)


@dataclasses.dataclass(frozen=True)
class Drawing(GPT):
    def update(self, *arguments):
        SPENT[0] += 2
        return super().update(*arguments)


@dataclasses.dataclass(frozen=True)
class DrawingDistilled(DistilledGPT):
    def _loss(self, *arguments):
        SPENT[0] += 2
        return super()._loss(*arguments)


@pytest.mark.slow
def test_the_gpu_scale_comes_to_a_verdict_by_measured_joules(faked_counter, untraced):
    small = {"layers": 1, "heads": 2, "width": 8, "block_size": 16, "batch": 2, "device": "cpu"}
    real = scale_of("gpu")
    (entry,) = real.entries[CLOSED]
    baseline, candidate = (
        kind(**{**{f.name: getattr(model, f.name) for f in dataclasses.fields(model)}, **small, "max_steps": steps})
        for kind, model, steps in ((Drawing, real.baseline, 6), (DrawingDistilled, entry.model, 3))
    )
    problem = dataclasses.replace(real.problem, characters=3000, context=16, min_context=8)
    scale = Scale("gpu", problem, baseline, 2, {CLOSED: (dataclasses.replace(entry, model=candidate),)})
    record = run_exam(scale, CLOSED, 5, meters=faked_counter)
    found = verdict_of(record, entry.name)
    line = found.line("training energy")
    assert (line.kind, line.change.value) == ("measured", pytest.approx(0.5))
    assert "training energy ratio 0.5 (measured), required below 1: met" in found.text
    assert "The joules do not cover: processor (no counter here)." in found.text
    # Nothing drew from the counter during inference: there is a reason instead of a number.
    assert all("did not move" in run.missing["inference-joules"] for run in record.runs(BASELINE))
    assert found.line("energy of 1,000 predictions") is None


def test_every_scale_and_division_has_entries_that_differ_from_the_baseline():
    for name in SCALES:
        scale = scale_of(name)
        assert scale.problem.context <= scale.baseline.block_size
        for division in (CLOSED, OPEN):
            assert all(entry.model != scale.baseline for entry in scale.division(division))
    assert scale_of("cpu").baseline == GPT()
    assert (scale_of("gpu").baseline.device, scale_of("gpu").problem.target_loss) == ("cuda", 1.4697)
    with pytest.raises(ValueError, match=r"one of smoke, cpu, cpu-to-target, gpu, gpu-on-cpu \(got 'moon'\)"):
        scale_of("moon")
    with pytest.raises(ValueError, match="division 'half'; choose one of: closed, open"):
        TINY.division("half")
    with pytest.raises(ValueError, match="must have different names"):
        with_entry(KneserNey(2)).__class__("x", TINY.problem, TINY.baseline, 1, {OPEN: TINY.entries[OPEN] * 2})


def test_records_are_where_the_environment_says(tmp_path):
    assert exam_path("cpu", "open") == tmp_path / "exam" / "cpu_open.json"
