"""What a step inherits, how it is decided, and that a walk obeys its signs."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
from walks import record, walked

from sutrolib.__main__ import main
from sutrolib.core.cube import A, path_to_b
from sutrolib.core.io import as_json
from sutrolib.core.stats import Interval
from sutrolib.core.types import describe
from sutrolib.exam.entries import OPEN, SEARCHED_FIELDS, scale_of
from sutrolib.measurement.comparison import BusyRatio, EstimatedRatio, MeanPower
from sutrolib.measurement.measure import measure
from sutrolib.measurement.walk_records import (
    NextTry,
    Sign,
    WalkEnded,
    champion_before,
    next_try,
    reached,
    read_records,
    repeat,
    walked_positions,
)
from sutrolib.meters import CacheEnergy, OperationCount
from sutrolib.meters.energy.wall_time import WallTime
from sutrolib.models.images.classifier import NearestNeighbours, SoftmaxRegression
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.problems.digits import Digits
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.evaluator import Evaluation, TrialState
from sutrolib.processes.manual import TuningStep
from sutrolib.processes.space import Proposal
from sutrolib.processes.study import Trial, best_of
from sutrolib.walk import step
from sutrolib.walk.champion import model_of
from sutrolib.walk.evidence import compare_processes, ordered_by_metric, process_ratio
from sutrolib.walk.fresh_seeds import cost_ratio, verdict
from sutrolib.walk.plan import Expectation, Rule, StepPlan
from sutrolib.walk.spaces import grounds

LAST = len(path_to_b())
FAMILIES = [family for ground in grounds().values() for family in ground.space.families]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTRO_WALK", str(tmp_path))
    return tmp_path


def test_a_walk_begins_with_step_1_goes_on_and_ends_at_b():
    assert next_try([]) == NextTry(1)
    assert next_try(walked(Sign.GO, Sign.GO)) == NextTry(3)
    with pytest.raises(WalkEnded, match="at B"):
        next_try(walked(*[Sign.GO] * LAST))


def test_after_turning_back_the_step_before_is_repeated_with_the_remedy_and_then_the_step_itself():
    records = walked(Sign.GO, Sign.GO, Sign.TURN_BACK)
    again = next_try(records)
    assert again == NextTry(2, attempt=2, remedy="more budget", repeats=3)
    # Whatever the repetition shows, the step that turned back is tried again.
    for sign in (Sign.GO, Sign.TURN_BACK):
        repeated = [*records, record(2, sign, 4, repeats=3, attempt=2)]
        assert next_try(repeated) == NextTry(3, attempt=2)
        assert champion_before(repeated, 3) is repeated[-1 if sign is Sign.GO else 1]
        assert next_try([*repeated, record(3, Sign.GO, 5, attempt=2)]) == NextTry(4)
        with pytest.raises(
            WalkEnded, match="step 3: turn back, why; change its plan, commit it, and run walk --again 3"
        ):
            next_try([*repeated, record(3, Sign.TURN_BACK, 5, attempt=2)])


def test_a_sign_to_stop_ends_the_walk():
    with pytest.raises(WalkEnded, match="step 2: stop"):
        next_try(walked(Sign.GO, Sign.STOP))


def test_a_person_can_repeat_a_step_that_was_reached():
    records = walked(Sign.GO, Sign.STOP)
    assert repeat(records, 2) == NextTry(2, attempt=2)
    with pytest.raises(ValueError, match="step 4 builds on steps that were not taken"):
        repeat(records, 4)


def test_records_are_read_in_the_order_of_the_tries(folder):
    for one in (record(2, order=2), record(1, order=1), record(2, order=3, attempt=2)):
        one.save()
    assert [(r.number, r.attempt) for r in read_records()] == [(1, 1), (2, 1), (2, 2)]
    (folder / "steps" / "03-1.json").write_text("{}")
    with pytest.raises(ValueError, match=r"03-1.json is no record of a step"):
        read_records()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_champion_is_made_anew_from_its_record(family):
    assert model_of(as_json(describe(family.model))) == family.model


def test_a_champion_of_another_library_is_refused():
    with pytest.raises(ValueError, match="'oracle' is no family of the walk"):
        model_of({"name": "oracle"})


def test_a_search_begins_at_the_champion_where_it_can_take_the_problem():
    hard, digits = grounds()["parity-hard"], grounds()["digits"]
    champion = dataclasses.replace(step.CORNER_A, batch=64)
    space, why = hard.space_from(champion)
    assert (space.model(space.start), why) == (champion, "")
    space, why = digits.space_from(champion)
    assert space is digits.space
    assert why == "two-layer network is none of the families for handwritten digits"
    space, why = hard.space_from(dataclasses.replace(step.CORNER_A, batch=512))
    assert "batch must be an integer from 8 to 128 (got 512)" in why


def test_no_start_at_nanogpt_has_a_setting_that_the_exams_search_found():
    space, seen = grounds()["shakespeare"].space, set()
    for family in (*space.families, *grounds()["shakespeare"].divisions["closed"].families):
        known = {name.rpartition(".")[2]: value for name, value in family.start.settings.items()}
        assert not [name for name, value in SEARCHED_FIELDS.items() if known.get(name) == value], family.name
        for name, value in SEARCHED_FIELDS.items():  # but a process could find them
            inside = [dimension for key, dimension in family.dimensions.items() if key.rpartition(".")[2] == name]
            assert all(dimension.validate(value) == value for dimension in inside)
            seen |= {name} if inside else set()
    assert seen >= set(SEARCHED_FIELDS) - {"newton_schulz_steps"}


def test_no_family_at_nanogpt_starts_at_an_entry_of_the_open_division():
    starts = [describe(family.model) for family in grounds()["shakespeare"].space.families]
    for entry in scale_of("cpu").entries[OPEN]:
        assert describe(entry.model) not in starts, entry.name
        part = getattr(entry.model, "ngram", None)
        assert part is None or describe(part) not in [start.get("ngram") for start in starts], entry.name


def test_what_was_found_is_held_against_what_was_expected():
    expected = {"quantity": "ratio", "low": 0.3, "high": 1.0}
    plan = {"plan": {"expectation": expected}}
    ratio = {"value": 0.5, "low": 0.2, "high": "Infinity", "points": [0.5]}
    assert record(1, quantities={"ratio": ratio}, **plan).held
    assert record(1, quantities={"ratio": ratio}).found("ratio") == Interval(0.5, 0.2, math.inf, (0.5,))
    assert record(1, quantities={"ratio": 1.5}, **plan).held is False
    assert record(1, quantities={"ratio": None}, **plan).held is None


def test_the_champion_of_the_step_before_is_that_of_its_last_try_with_a_sign_to_go_on():
    back = record(3, Sign.TURN_BACK, attempt=2)
    tries = [record(3, Sign.GO, attempt=1), back, record(4, Sign.GO, attempt=1)]
    assert champion_before(tries, 4).attempt == 1
    assert champion_before(tries[1:], 4).attempt == 2
    assert champion_before(tries, 3) is None


@pytest.mark.parametrize(
    "kept",
    [
        Interval(0.5, 0.4, 0.6, (0.5,) * 5),
        BusyRatio(0.5, 0.0, math.inf, (0.5,) * 5, load=0.4),
        EstimatedRatio(0.5, 0.4, 0.6, (0.5,) * 5, power=MeanPower(27.0, 28.0)),
    ],
)
def test_an_interval_is_read_with_its_power_or_its_load(kept):
    made = dataclasses.replace(record(3), quantities=as_json({"ratio": dataclasses.asdict(kept)}))
    assert made.found("ratio") == kept
    assert str(made.found("ratio")) == str(kept)


def test_the_cube_shows_where_the_walk_has_come_and_where_it_turned_back():
    ends = [step.end for step in path_to_b()]
    assert reached([]) == path_to_b()[0].start
    assert walked_positions([]) == ({A}, set())
    tries = walked(Sign.GO, Sign.GO, Sign.TURN_BACK)
    assert reached(tries) == ends[1]
    assert walked_positions(tries) == ({A, *ends[:2]}, {ends[2]})


@pytest.mark.parametrize("damage", ["[", "[]", '{"number": "one"}', "[" * 100_000])
def test_a_damaged_record_is_named_with_what_to_do(folder, damage):
    path = folder / "steps" / "01-1.json"
    path.parent.mkdir()
    path.write_text(damage)
    with pytest.raises(ValueError, match=r"01-1\.json is no record of a step .*restore it with git"):
        read_records()


SMALL = SparseParity(n=8, k=2, n_train=200, n_test=100)


@pytest.mark.slow
def test_a_step_keeps_what_it_has_done_and_its_record_says_what_was_found(tmp_path, monkeypatch):
    number = 3
    space = dataclasses.replace(grounds()["parity-hard"], problem=SMALL, searched=SMALL)
    monkeypatch.setattr(step, "grounds", lambda: {"parity-hard": space})
    plan = StepPlan(number, 2, 2, Expectation("ratio", 0.5, 0, 1, "test"), Rule("solved", "more budget", at_least=0.8))
    before = [record(2, champion=describe(GF2Elimination()))]
    said, trials = [], []
    run = step.StepRun(NextTry(number), plan, before, tmp_path / "run", trials.append, said.append)
    found = run.take()
    assert (found.sign, found.axis, found.inherited["name"]) == (Sign.GO, "process", GF2Elimination.name)
    assert found.quantities["solved"] == 1
    assert [len(found.quantities["found"][side]) for side in ("new", "old")] == [2, 2]  # one of each search
    assert {study["process"] for study in found.studies} == {"random search"}
    assert found.kept == {"metric": "dmd", "problem": "parity-hard"}
    found.save()
    (read,) = read_records()
    assert read.champion == as_json(found.champion)
    again = step.StepRun(NextTry(number), plan, before, tmp_path / "run", trials.append, said.append)
    fresh = {line for line in said if line.startswith("fresh seed")}
    assert again.take().champion == found.champion
    searched = [trial for trial in trials if not isinstance(trial, TuningStep)]
    assert len(searched) == plan.trials * plan.searches, "the searches were kept"
    assert len([line for line in said if line.startswith("fresh seed")]) == len(set(said) & fresh), "each once"


@pytest.mark.slow
def test_a_rehearsal_takes_a_step_by_a_smaller_plan_and_leaves_no_record(monkeypatch):
    monkeypatch.setattr(
        step, "grounds", lambda: {"parity-hard": dataclasses.replace(ground, problem=SMALL, searched=SMALL)}
    )
    ground = grounds()["parity-hard"]
    plan = StepPlan(3, 50, 9, Expectation("ratio", 0.5, 0, 1, "test"), Rule("solved", "more budget", at_least=0.8))
    monkeypatch.setattr(step, "read_plan", lambda number, committed: plan)
    found = step.rehearse(NextTry(3), [record(2, champion=describe(GF2Elimination()))], trials=2, searches=1, changes=1)
    assert [(study["process"], study["n_trials"]) for study in found.studies] == [("random search", 2)]
    assert read_records() == []


@pytest.mark.parametrize(
    ("new", "old", "ratio"),
    [
        ([1, 1, 1, 1, 1], [10] * 5, (0.1, 0.1)),
        ([1, 9, 9, 9, 9], [10, 10, 10, 10, None], (0.9, 0.9)),  # the last ratio is below all others, but not known
        ([1, 2, 3, 4, None], [10, 20, 30, 40, None], (0.1, math.inf)),  # four pairs bound nothing
        ([1, 2, 3, 4, None], [10, 20, 30, None, None], (0.1, math.inf)),
        ([1.2, 1, 1, 1, 1], [1, None, None, None, None], (0, 1.2)),
        ([1, 2, 3, 4, 5], [None] * 5, (0, 0)),
        ([1, None, None, None, None], [None] * 5, (0, math.inf)),
        ([1, 2, 3, 4, None], [10, 20, 30, 40, 50], None),
        ([None] * 5, [None] * 5, None),
    ],
)
def test_a_search_that_found_nothing_counts_against_its_process(new, old, ratio):
    found = process_ratio(list(zip(new, old, strict=True)))
    assert (found and (found.value, found.high)) == (ratio and pytest.approx(ratio))


def test_what_a_process_found_is_the_cheapest_by_its_own_metric_whatever_a_recheck_kept():
    costs = [(2.0, 30.0, True), (1.0, 90.0, True), (0.5, None, False), (None, None, True)]  # cost, re-check, kept
    tried = enumerate(costs)
    trials = [Trial(n, None, TrialState.SOLVED, "", cost=c, recheck=r, kept=kept) for n, (c, r, kept) in tried]
    assert best_of(trials) is trials[0]
    assert [trial.number for trial in ordered_by_metric(SimpleNamespace(trials=trials))] == [1, 0]


@dataclasses.dataclass(frozen=True)
class Neighbours:
    k: int
    name = "neighbours"


class FreshSeedsOfTheComparison:
    """An evaluator on whose seeds 2 to 4 neighbours fail."""

    def evaluate(self, model):
        cost = None if model.k in (2, 3, 4) else 10.0 * model.k
        return Evaluation(TrialState.SOLVED, "", cost=cost, predictions=1.0)


def study_of(*settings):
    """A study whose trials found these numbers of neighbours, the cheapest first."""
    trials = [
        Trial(n, Proposal("k nearest neighbours", {"k": k}), TrialState.SOLVED, "", cost=1.0 + n)
        for n, k in enumerate(settings)
    ]
    space = SimpleNamespace(model=lambda proposal: Neighbours(proposal.settings["k"]))
    return SimpleNamespace(trials=trials, space=space)


def test_processes_are_compared_by_what_solves_other_seeds_too():
    said, others, fresh = [], [study_of(9)] * 4, FreshSeedsOfTheComparison()
    found = compare_processes(fresh, [study_of(2, 4, 5), *others], [study_of(7), *others], said.append)
    assert found["process ratio"].points == pytest.approx((51 / 71, 1, 1, 1, 1))
    names = found["found"]
    assert [names["new"][0], names["old"][0]] == ["k nearest neighbours (k=5)", "k nearest neighbours (k=7)"]
    assert said.count("comparing the processes: k nearest neighbours (k=9)") == 1  # what is known is not measured again
    late = compare_processes(fresh, [study_of(2, 4, 3, 4, 2, 3, 4, 6), *others], [study_of(7), *others], said.append)
    assert late["process ratio"].points[0] == pytest.approx(61 / 71)  # however many before it fail
    none = compare_processes(fresh, [study_of(2, 3), *others], [study_of(7), *others], said.append)
    assert none["process ratio"] is None
    assert none["found"]["new"][0] == ""


def test_a_champion_without_updates_is_compared_with_one_whose_counts_are_extrapolated():
    problem, energy = Digits(), CacheEnergy()
    meters = [WallTime(runs=1, window=0), energy, OperationCount()]
    neighbours, network = NearestNeighbours(k=3), SoftmaxRegression(max_epochs=2)
    options = {"trace_updates": 2, "use": "always"}
    sides = [[measure(problem, m, meters, seed, **options) for seed in range(5)] for m in (neighbours, network)]
    assert {str(run.reading("operations").kind) for run in sides[0]} == {"counted"}
    assert {str(run.reading("operations").kind) for run in sides[1]} == {"modelled"}
    assert cost_ratio(*sides, energy).bounded
    assert "not compared" not in verdict(*sides, energy)


def test_a_step_without_a_ratio_says_why(tmp_path):
    run, found = step.StepRun(NextTry(5), None, [], tmp_path), {"ratio": None, "solved": 1.0}
    learned = run._learned(
        NearestNeighbours(), SoftmaxRegression(), found, CacheEnergy(), "not compared: seed 1 failed"
    )
    assert learned == "k nearest neighbours is not compared: seed 1 failed, and solves 100% of 5 fresh seeds."


def test_a_model_of_another_problem_that_crashes_does_not_end_the_walk(tmp_path):
    run = step.StepRun(NextTry(8), None, [], tmp_path)
    for family in grounds()["digits"].space.families:
        found = run._inherited(grounds()["letters"], step.meter_of("ard"), family.model)
        assert found["inherited solved"] == 0
        assert found["inherited failed"]


def test_why_an_inherited_champion_cannot_take_a_problem_stays_in_the_record(tmp_path):
    run = step.StepRun(NextTry(5), None, [], tmp_path)
    found = run._inherited(grounds()["digits"], step.meter_of("ard"), GF2Elimination())
    assert found["inherited solved"] == 0
    assert found["inherited failed"].startswith("ValueError: ")


def test_the_command_ends_in_order_where_there_is_no_next_step(capsys):
    for one in walked(Sign.GO, Sign.STOP):
        one.save()
    assert main(["walk"]) == 0
    assert "step 2: stop, why; change its plan" in capsys.readouterr().out
