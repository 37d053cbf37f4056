import dataclasses
import json

import pytest
from exams import SHAPE, TINY, fake_run

import sutrolib.exam.variants
from sutrolib.core.types import describe
from sutrolib.exam.entries import CLOSED, OPEN, Entry
from sutrolib.exam.plots import draw_corpus_sizes
from sutrolib.exam.record import exam_path, new_record
from sutrolib.exam.variants import corpora, corpus_models, load_runs, run_corpora
from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.models.language.kneser_ney import KneserNey

DISTILLED = DistilledGPT(**{k: v for k, v in SHAPE.items() if k != "warmup"}, max_steps=3)
SCALE = dataclasses.replace(
    TINY,
    entries={
        CLOSED: (Entry("distilled", DISTILLED, "it"),),
        OPEN: (Entry("trigram", KneserNey(3), "it"), Entry("online", KneserNey(2), "it", online=True)),
    },
)


@pytest.fixture
def runs_made(monkeypatch, tmp_path):
    """Problems and models of the runs, in order, and after how many one is interrupted."""
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path))
    found = []

    def fake(problem, model, seed, meter):
        if len(found) == stop_at[0]:
            raise KeyboardInterrupt
        found.append((problem, model))
        run = fake_run(seed, energy=10.0 * len(found), loss=3.0 - 0.1 * len(found))
        plain = {k: json.loads(json.dumps(describe(v))) for k, v in (("problem", problem), ("model", model))}
        return dataclasses.replace(run, **plain)

    stop_at = [-1]
    monkeypatch.setattr(sutrolib.exam.variants, "evaluate", fake)
    return found, stop_at


def test_the_models_are_those_read_in_windows_the_recipe_for_longer_and_other_n_grams():
    found = corpus_models(SCALE)
    assert list(found)[:3] == ["baseline", "distilled", "trigram"]
    assert found["distilled, 4 times as long"] == dataclasses.replace(DISTILLED, max_steps=12)
    assert "online" not in found
    assert sum(model == KneserNey(3) for model in found.values()) == 1  # an entry already


def test_the_corpora_grow():
    sizes = [len(problem.sample(0).train) for problem in corpora(SCALE).values()]
    assert sizes[0] == pytest.approx(sizes[1] / 10, rel=0.05)
    assert sizes[2] > 4_000_000


def test_an_interrupted_series_resumes_from_what_was_saved(runs_made):
    found, until = runs_made
    until[0] = 5
    with pytest.raises(KeyboardInterrupt):
        run_corpora(SCALE, None)
    assert sum(map(len, load_runs(SCALE).values())) == 5
    until[0] = -1
    finished = []
    runs = run_corpora(SCALE, None, lambda *arguments: finished.append(arguments))
    assert len(found) == 3 * len(corpus_models(SCALE)) == 5 + len(finished)
    assert load_runs(SCALE) == runs
    assert run_corpora(SCALE, None) == runs
    assert len(found) == 5 + len(finished)


def test_what_a_changed_model_did_before_is_left_out(runs_made):
    run_corpora(SCALE, None)
    changed = dataclasses.replace(SCALE, baseline=dataclasses.replace(SCALE.baseline, lr=0.5))
    assert all("baseline" not in found and "distilled" in found for found in load_runs(changed).values())


def test_what_was_run_in_the_exam_itself_is_not_run_again(runs_made):
    record = new_record(SCALE, CLOSED, 5)
    run = dataclasses.replace(fake_run(0), problem=record.problem, model=record.entries["distilled"]["model"])
    record.add("distilled", run)
    usual = list(corpora(SCALE))[1]
    assert load_runs(SCALE) == {corpus: {"distilled": run} if corpus == usual else {} for corpus in corpora(SCALE)}
    run_corpora(SCALE, None)
    assert (SCALE.problem, DISTILLED) not in runs_made[0]


def test_the_figure_names_the_lowest_loss_of_each_corpus(runs_made):
    runs = run_corpora(SCALE, None)
    text = draw_corpus_sizes(runs).get_suptitle().replace("\n", " ")
    assert text.count(list(corpus_models(SCALE))[-1]) == 3
    assert exam_path("tiny", "corpora").exists()
