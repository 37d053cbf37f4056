import dataclasses
import math
import multiprocessing

import pytest
import torch
from exams import SHAPE, TINY

from sutrolib.core.io import as_json
from sutrolib.core.types import Budget, Diverged
from sutrolib.exam import trainings
from sutrolib.exam.entries import BASELINE, CLOSED, GPU_ON_CPU, OPEN, Entry, scale_of
from sutrolib.exam.trainings import (
    CPU_SECONDS,
    WORK,
    Training,
    energy_elsewhere,
    load_trainings,
    mean_work,
    nanogpt_loss,
    on_cpu,
)
from sutrolib.guards.hardware_map import HARDWARE_POINTS
from sutrolib.models.language.distilled_gpt import DistilledGPT, FadingDistillation
from sutrolib.models.language.gpt import GPT
from sutrolib.problems.text_evaluation import NANOGPT_LOSS

NETWORK = {name: SHAPE[name] for name in ("layers", "heads", "width", "block_size", "batch")}
SMALL = Entry("small", DistilledGPT(**NETWORK, max_steps=6, teacher_order=3), "")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path))
    monkeypatch.setattr(trainings, "RUNS", tmp_path / "runs")
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


def names(run):
    return {reading.name for reading in run.readings}


def test_a_training_has_its_losses_its_work_and_its_seconds(elsewhere):
    run = Training(TINY.problem, SMALL, 1, TINY.baseline, windows=5, traced=2).measure()
    assert not run.failure
    assert names(run) == {*WORK, CPU_SECONDS, "updates"}
    assert (run.reading("updates").value, run.reading("operations").kind) == (6, "modelled")
    assert run.reading(CPU_SECONDS).kind == "measured"
    assert set(run.scores) == {"loss", "bits per character", "accuracy", NANOGPT_LOSS}
    assert run.score == -run.scores["loss"]


def test_counts_have_no_updates():
    run = Training(TINY.problem, TINY.entries[OPEN][0], 0, traced=2).measure()
    assert (run.failure, names(run)) == ("", {*WORK, CPU_SECONDS})
    assert run.reading("operations").kind == "counted"


def test_the_work_is_that_of_the_whole_training():
    exact = Training(TINY.problem, SMALL, 0, traced=6).measure()
    carried_on = Training(TINY.problem, SMALL, 0, traced=4).measure()
    assert exact.reading("operations").kind == "counted"
    for reading in WORK:
        assert mean_work([carried_on], reading) == pytest.approx(mean_work([exact], reading), rel=0.1)


def test_what_is_only_traced_has_work_and_no_score():
    baseline = Entry(BASELINE, TINY.baseline, "")
    run = Training(TINY.problem, baseline, 0, traced=2, updates=40).measure()
    assert (run.score, names(run)) == (None, set(WORK))
    assert "not trained" in run.failure
    trained = Training(TINY.problem, Entry("long", dataclasses.replace(TINY.baseline, max_steps=40), ""), 0, traced=40)
    assert mean_work([run], "operations") == pytest.approx(mean_work([trained.measure()], "operations"), rel=0.03)


def test_a_network_that_is_not_the_baselines_fails_in_the_closed_division():
    wider = Entry("wider", dataclasses.replace(SMALL.model, width=16), "")
    assert "closed:" in Training(TINY.problem, wider, 0, TINY.baseline).measure().failure
    assert not Training(TINY.problem, wider, 0).measure().failure


def test_a_training_that_fails_is_recorded(monkeypatch):
    def fail(*_, **__):
        raise Diverged("the loss was nan")

    monkeypatch.setattr(DistilledGPT, "fit", fail)
    assert Training(TINY.problem, SMALL, 0, traced=2).measure().failure == "the loss was nan"


@pytest.mark.slow
def test_an_error_of_one_training_is_raised_when_the_others_have_ended(elsewhere):
    bad = Training(TINY.problem, Entry("bad", dataclasses.replace(SMALL.model, device="mps"), ""), 0)
    with pytest.raises(ValueError, match="finds no graphics card"):
        trainings.run_trainings("tiny", "many", [bad, *todo(0)])
    assert set(load_trainings("tiny", "many")) >= {"small", "bigram", "trigram"}


@pytest.mark.slow
def test_an_interruption_ends_the_workers_and_keeps_what_has_ended(elsewhere, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    long = Entry("long", dataclasses.replace(SMALL.model, max_steps=10_000_000), "")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(KeyboardInterrupt):
        trainings.run_trainings("tiny", "many", [*todo(0)[:1], Training(TINY.problem, long, 0)], interrupt)
    assert [run.seed for run in load_trainings("tiny", "many")["small"]] == [0]
    assert multiprocessing.active_children() == []


def test_work_that_was_not_traced_says_why():
    run = Training(TINY.problem, SMALL, 0).measure()
    with pytest.raises(ValueError, match=r"no run has a reading .operations. .not traced"):
        mean_work([run], "operations")
    with pytest.raises(ValueError, match="there are no runs"):
        mean_work([], "operations")


def test_whole_windows_give_the_loss_of_the_decoder():
    task = TINY.problem.sample(0)
    fitted = GPT(**SHAPE, max_steps=4).fit(task.for_training(), 0)
    decoded = task.inference.nanogpt_loss(fitted, task.test_split, TINY.problem.context, 150)
    assert nanogpt_loss(task, fitted, TINY.problem.context, 150) == pytest.approx(decoded, abs=1e-6)


def test_the_energy_on_other_hardware_is_that_of_its_operations_and_of_its_traffic():
    found = energy_elsewhere(TINY.problem, SMALL.model, 6, 6)
    operations = mean_work([Training(TINY.problem, SMALL, 0, traced=6).measure()], "operations")
    assert set(found) == {point.name for point in HARDWARE_POINTS}
    assert found["memory-free"] == min(found.values()) == pytest.approx(operations, rel=0.6)  # bfloat16 counts half
    assert max(found.values()) > 2 * found["memory-free"]
    counted = energy_elsewhere(TINY.problem, TINY.entries[OPEN][0].model, 0)
    assert max(counted[name] / found[name] for name in found) < 1


def todo(*seeds, entries=(SMALL, *TINY.entries[OPEN])):
    return [Training(TINY.problem, entry, seed, traced=0 if seed else 2) for seed in seeds for entry in entries]


@pytest.mark.slow
def test_what_was_run_is_kept_and_only_the_rest_is_run(elsewhere, monkeypatch):
    ended = []
    # A training that was interrupted near its end: its checkpoint is used, and removed when it has ended.
    one = todo(1)[0]
    one.entry.model.fit(one.problem.sample(1).for_training(), 1, Budget(steps=4), checkpoint=one.checkpoint)
    assert one.checkpoint.exists()
    found = trainings.run_trainings("tiny", "many", todo(1, 0), lambda *about: ended.append(about[:2]))
    resumed, whole = found["small"][1], one.measure()
    assert resumed.scores["loss"] == pytest.approx(whole.scores["loss"], abs=1e-4)  # threads round differently
    assert (CPU_SECONDS in names(resumed), CPU_SECONDS in names(whole)) == (False, True)
    one.checkpoint.unlink()
    assert sorted(left for left, _ in ended) == list(range(6))
    assert {name: [run.seed for run in runs] for name, runs in found.items()} == {
        name: [0, 1] for name in ("small", "bigram", "trigram")
    }
    assert as_json(load_trainings("tiny", "many")["small"][0].to_dict()) == as_json(found["small"][0].to_dict())
    assert not list(elsewhere.glob("runs/checkpoints/*"))
    other = Entry("bigram", TINY.entries[OPEN][1].model, "")  # another model of that name
    more = todo(0, 1, 2, entries=(SMALL, other))
    again = trainings.run_trainings("tiny", "many", more, lambda *about: ended.append(about[:2]))
    assert sorted(name for _, name in ended[6:]) == ["bigram"] * 3 + ["small"]
    assert set(again) == {"small", "bigram"}
    assert load_trainings("tiny", "many") == again
    fewer = trainings.run_trainings("tiny", "many", todo(0, entries=(SMALL,)), lambda *_: pytest.fail("all are there"))
    assert [run.seed for run in fewer["small"]] == [0, 1, 2]  # a seed that was run is never dropped
    windows = [dataclasses.replace(todo(0, entries=(SMALL,))[0], windows=3)]
    (judged,) = [run for run in trainings.run_trainings("tiny", "many", windows)["small"] if run.seed == 0]
    assert NANOGPT_LOSS in judged.scores  # what was asked for differs, so it was run again
    assert math.isfinite(mean_work(again["small"], "operations"))  # one of the seeds was traced


@pytest.mark.parametrize("division", [CLOSED, OPEN])
def test_the_scale_of_a_graphics_card_on_a_cpu(division):
    scale = scale_of(GPU_ON_CPU)
    assert scale.baseline == dataclasses.replace(scale_of("gpu").baseline, device="cpu", dropout=0.0)
    assert scale.baseline.precision == "bfloat16"
    assert scale.problem == scale_of("gpu").problem
    baseline, *others = on_cpu(scale, division, 2)
    assert (baseline.entry.model, baseline.updates) == (scale.baseline, 5000)
    assert [(one.entry.name, one.seed) for one in others] == [
        (entry.name, seed) for seed in (0, 1) for entry in scale.division(division)
    ]
    assert {one.closed for one in others} == {scale.baseline if division == CLOSED else None}
    assert {one.windows for one in others} == {12_800}
    assert {(one.traced, one.updates) for one in others} == {(scale.trace_updates, 0)}
    assert isinstance(scale.division(CLOSED)[0].model, FadingDistillation)
    with pytest.raises(ValueError, match=r"seeds must be at least 1 .got 0."):
        on_cpu(scale, division, 0)
