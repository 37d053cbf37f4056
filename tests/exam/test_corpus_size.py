import dataclasses
import json

import pytest
from exams import SHAPE, TINY, fake_run

import sutrolib.exam.corpus_size
from sutrolib.core.types import describe
from sutrolib.exam.corpus_size import model_names, corpora, path_of, read, weigh
from sutrolib.exam.entries import CLOSED, OPEN, Entry
from sutrolib.exam.recipe_plots import draw_corpus_sizes
from sutrolib.exam.record import new_record
from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.models.language.kneser_ney import KneserNey

TAUGHT = DistilledGPT(**{k: v for k, v in SHAPE.items() if k != "warmup"}, max_steps=3)
SCALE = dataclasses.replace(
    TINY,
    entries={
        CLOSED: (Entry("taught", TAUGHT, "it"),),
        OPEN: (Entry("counting", KneserNey(3), "it"), Entry("reading on", KneserNey(2), "it", online=True)),
    },
)


@pytest.fixture
def sat(monkeypatch, tmp_path):
    """The models that sat, in order; ``interrupt`` after so many."""
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path))
    found = []

    def fake(problem, model, seed, together):
        if len(found) == sat_until[0]:
            raise KeyboardInterrupt
        found.append((problem, model))
        run = fake_run(seed, energy=10.0 * len(found), loss=3.0 - 0.1 * len(found))
        plain = {k: json.loads(json.dumps(describe(v))) for k, v in (("problem", problem), ("model", model))}
        return dataclasses.replace(run, **plain)

    sat_until = [-1]
    monkeypatch.setattr(sutrolib.exam.corpus_size, "sit", fake)
    return found, sat_until


def test_the_contestants_are_those_read_in_windows_the_recipe_for_longer_and_other_counts():
    found = model_names(SCALE)
    assert list(found)[:3] == ["baseline", "taught", "counting"]
    assert found["taught, 4 times as long"] == dataclasses.replace(TAUGHT, max_steps=12)
    assert "reading on" not in found
    assert sum(model == KneserNey(3) for model in found.values()) == 1  # an entry already


def test_the_corpora_grow():
    sizes = [len(problem.sample(0).train) for problem in corpora(SCALE).values()]
    assert sizes[0] == pytest.approx(sizes[1] / 10, rel=0.05)
    assert sizes[2] > 4_000_000


def test_an_interrupted_series_goes_on_from_what_was_kept(sat):
    found, until = sat
    until[0] = 5
    with pytest.raises(KeyboardInterrupt):
        weigh(SCALE, None)
    assert sum(map(len, read(SCALE).values())) == 5
    until[0] = -1
    told = []
    runs = weigh(SCALE, None, lambda *arguments: told.append(arguments))
    assert len(found) == 3 * len(model_names(SCALE)) == 5 + len(told)
    assert read(SCALE) == runs
    assert weigh(SCALE, None) == runs
    assert len(found) == 5 + len(told)


def test_what_a_changed_model_did_before_is_left_out(sat):
    weigh(SCALE, None)
    changed = dataclasses.replace(SCALE, baseline=dataclasses.replace(SCALE.baseline, lr=0.5))
    assert all("baseline" not in found and "taught" in found for found in read(changed).values())


def test_what_sat_in_the_exam_itself_does_not_sit_again(sat):
    record = new_record(SCALE, CLOSED, 5)
    run = dataclasses.replace(fake_run(0), problem=record.problem, model=record.entries["taught"]["model"])
    record.keep("taught", run)
    usual = list(corpora(SCALE))[1]
    assert read(SCALE) == {corpus: {"taught": run} if corpus == usual else {} for corpus in corpora(SCALE)}
    weigh(SCALE, None)
    assert (SCALE.problem, TAUGHT) not in sat[0]


def test_the_figure_names_the_lowest_loss_of_each_corpus(sat):
    runs = weigh(SCALE, None)
    text = draw_corpus_sizes(runs).get_suptitle().replace("\n", " ")
    assert text.count(list(model_names(SCALE))[-1]) == 3
    assert path_of(SCALE).name == "tiny_corpora.json"
