import dataclasses

import pytest
import torch
from exams import SHAPE, TINY

from sutrolib.exam import frontier, trainings
from sutrolib.exam.entries import CLOSED, OPEN, Entry, cpu
from sutrolib.exam.frontier import EQUAL, NGRAM, Point, best_first, crossing, crossing_in_words, equal_work, points
from sutrolib.exam.frontier_plots import draw_frontier, frontier_title
from sutrolib.exam.trainings import WORK, Training, load_trainings, mean_work
from sutrolib.models.language.distilled_gpt import DistilledGPT, FadingDistillation

NETWORK = {name: SHAPE[name] for name in ("layers", "heads", "width", "block_size", "batch")}
RECIPE = DistilledGPT(**NETWORK, max_steps=8, teacher_order=3)
TEXT = dataclasses.replace(TINY.problem, characters=20_000)
SMALL = dataclasses.replace(
    TINY,
    problem=TEXT,
    baseline=dataclasses.replace(TINY.baseline, max_steps=60),
    entries={CLOSED: (Entry("distilled GPT", RECIPE, ""),), OPEN: TINY.entries[OPEN]},
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path))
    monkeypatch.setattr(trainings, "RUNS", tmp_path / "runs")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def traced():
    """The work of the published recipe and of the closed one, as a frontier traces it first."""
    made = {"baseline": (SMALL.baseline, 60), CLOSED: (RECIPE, 8), f"{CLOSED}, twice": (RECIPE, 16)}
    all_ = [Training(TEXT, Entry(name, model, ""), 0, traced=4, updates=u) for name, (model, u) in made.items()]
    trainings.run_trainings("tiny", "frontier-work", all_)


def test_equal_work_is_that_of_the_published_recipe_in_the_less_favourable_quantity():
    with pytest.raises(OSError, match="frontier-work"):
        equal_work(SMALL)
    traced()
    models, work = equal_work(SMALL), load_trainings("tiny", "frontier-work")
    assert list(models) == ["1/17", "1/4", "1"]
    run = Training(TEXT, Entry("equal", models["1"], ""), 0, traced=models["1"].max_steps).measure()
    shares = [mean_work([run], reading) / mean_work(work["baseline"], reading) for reading in WORK]
    assert 0.9 < max(shares) <= 1.02
    assert models["1/17"].max_steps <= models["1/4"].max_steps <= models["1"].max_steps / 4


def test_every_point_is_trained_and_one_seed_of_it_traced():
    traced()
    all_ = frontier.frontier_trainings(SMALL, 5, 10)
    seeds = {}
    for one in all_:
        seeds.setdefault(one.entry.name, []).append(one.seed)
        assert bool(one.traced) == (one.seed == 0)
    families = [name.split("; ")[1] for name in seeds if not name.startswith(EQUAL)]
    assert (families.count(NGRAM), families.count(CLOSED), families.count(OPEN)) == (3 * 6, 3 * 18, 3 * 18)
    assert {len(found) for name, found in seeds.items() if "order" in name} == {1}
    assert {len(found) for name, found in seeds.items() if CLOSED in name} == {5}
    equal = {name.split("; ")[1]: len(found) for name, found in seeds.items() if name.startswith(EQUAL)}
    assert equal == {"1/17": 5, "1/4": 5, "1": 10}


def test_the_sizes_are_those_around_the_published_network():
    found = {(m.layers, m.width, m.heads) for f, _, m in frontier._models(cpu()) if f == CLOSED}
    assert found == {(2, 64, 4), (4, 128, 4), (6, 192, 4)}
    lengths = {(m.max_steps, m.name) for f, _, m in frontier._models(cpu()) if f == CLOSED}
    long = {(updates, FadingDistillation.name) for updates in (400, 800)}
    assert lengths == {(updates, DistilledGPT.name) for updates in (25, 50, 100, 200)} | long
    assert {m.gpt.distill_weight for f, _, m in frontier._models(cpu()) if f == OPEN} == {0.0}


@pytest.mark.slow
def test_a_frontier_is_run_drawn_and_read_again(monkeypatch):
    monkeypatch.setattr(frontier, "_LENGTHS", (0.5, 1.0))
    monkeypatch.setattr(frontier, "_SIZES", (1.0,))
    monkeypatch.setattr(frontier, "_ORDERS", range(2, 4))
    monkeypatch.setattr(frontier, "corpora", lambda scale: {"short": TEXT})
    found = frontier.run_frontier(SMALL, 2, lambda *_: None)
    made = points(found)
    assert points(load_trainings("tiny", "frontier")) == made
    assert len(made) == 3 + 2 + 2 + 3
    assert all(set(p.work) == set(WORK) and min(p.work.values()) > 0 for p in made)
    assert {len(p.losses) for p in made if p.size.startswith("order")} == {5}  # exact: no seed changes a count
    draw_frontier(made, "operations", "operations").draw_without_rendering()
    frontier.run_frontier(SMALL, 2, lambda *_: pytest.fail("nothing is left to run"))


def made(family, size, loss, work, corpus="short"):
    return Point(corpus, family, size, tuple(loss + d for d in (-0.01, 0, 0.01, 0, 0)), dict.fromkeys(WORK, work))


COUNTS = [made(NGRAM, "order 2", 2.4, 1), made(NGRAM, "order 3", 2.1, 2)]
NETWORKS = [made(CLOSED, f"2 x 64, {u} updates", loss, u) for u, loss in ((10, 2.5), (20, 2.1), (40, 1.9), (80, 1.8))]


def test_the_crossing_is_the_cheapest_network_below_every_n_gram_with_its_whole_interval():
    found = crossing(COUNTS + NETWORKS, "short", CLOSED, "operations")
    assert found == NETWORKS[2]
    words = crossing_in_words(COUNTS + NETWORKS, "short", CLOSED, "operations")
    assert words == "from 20 times the work of the best n-gram on (2 x 64, 40 updates)"
    assert best_first(COUNTS, "short", NGRAM) == COUNTS[::-1]


def test_where_networks_do_not_cross_both_losses_are_said():
    assert crossing(COUNTS + NETWORKS[:2], "short", CLOSED, "operations") is None
    words = crossing_in_words(COUNTS + NETWORKS[:2], "short", CLOSED, "operations")
    assert words == "not within reach (2.100 against 2.100 nats)"
    few = dataclasses.replace(NETWORKS[3], losses=(1.8,) * 2)  # without an interval nothing is shown
    assert crossing([*COUNTS, few], "short", CLOSED, "operations") is None
    assert crossing_in_words([*COUNTS, few], "short", CLOSED, "operations") == "not decided: fewer than 5 seeds"
    assert frontier_title([*COUNTS, few], "operations") == "Not decided: fewer than 5 seeds"
    one_ngram = [dataclasses.replace(p, losses=p.losses[:4]) for p in COUNTS]
    assert "not decided" in crossing_in_words(one_ngram + NETWORKS, "short", CLOSED, "operations")


def test_the_title_names_the_corpora_on_which_they_cross():
    longer = [dataclasses.replace(p, corpus="long") for p in COUNTS + NETWORKS[:2]]
    assert frontier_title(longer, "operations").startswith("Within reach, no network is better")
    both = frontier_title(COUNTS + NETWORKS + longer, "operations")
    assert both == "Networks become better than every n-gram on short, and not on long"
    figure = draw_frontier(COUNTS + NETWORKS + longer, "operations", "operations")
    assert figure.get_suptitle().replace("\n", " ") == both
    figure.draw_without_rendering()
