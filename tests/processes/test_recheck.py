"""What a search does where the audit of proxies found its metric unsafe."""

import json

import pytest
from searches import METER, PROBLEM, SPACE

from sutrolib.core import paths
from sutrolib.measurement.measure import measure
from sutrolib.meters import Availability, CacheEnergy, CodeCarbon, Joules, ReuseDistance
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.matmul import MatrixProduct
from sutrolib.processes.budget import Override, SearchBudget
from sutrolib.processes.comparison import Trajectory
from sutrolib.processes.dimension import Choice
from sutrolib.processes.evolution import Evolution
from sutrolib.processes.manual import ManualTuning, ProposedChange
from sutrolib.processes.parallel import improve_parallel
from sutrolib.processes.recheck import PROXY_AUDIT, found_unsafe, needed_recheck
from sutrolib.processes.samplers import GridSearch, RandomSearch
from sutrolib.processes.space import space_of

# Small batches have shorter distances and more accesses: what ARD prefers takes more energy (guards/proxy_traps.py).
_START = TwoLayerNetwork(hidden=30, lr=0.5, batch=16, max_epochs=20)
TRAP = space_of(_START, batch=Choice((4, 16, 64)), hidden=Choice((30, 60)))
ALL, BRIEF = SearchBudget(trials=6), {"trace_updates": 4}


def audit(*found):
    """Publish an audit: (metric, reference, verdict), on parity unless a fourth field names another rung."""
    names = ("metric", "reference", "verdict", "rung")
    about = {"rung": "parity", "why": "one pair misranked", "when": "2026-11-29T10:00:00", "commit": "abc123"}
    paths.audit().write_text(json.dumps([about | dict(zip(names, one, strict=False)) for one in found]))


def test_a_search_by_an_unsafe_metric_keeps_the_best_of_five_by_the_more_realistic_one():
    plain = GridSearch(**BRIEF).improve(PROBLEM, TRAP, ReuseDistance(), ALL)
    audit(("ard", "cache-energy", "not safe"))
    study = GridSearch(**BRIEF).improve(PROBLEM, TRAP, ReuseDistance(), ALL)
    checked = [trial for trial in study.trials if trial.recheck is not None]
    assert len(checked) == 5
    runs = {
        t.number: measure(PROBLEM, TRAP.model(t.proposal), [CacheEnergy()], 0, use="always", **BRIEF) for t in checked
    }
    energy = {
        number: run.reading("cache-energy").value + run.reading("inference-cache-energy").value
        for number, run in runs.items()
    }
    assert {t.number: t.recheck for t in checked} == pytest.approx(energy)
    assert study.best.number == min(energy, key=energy.get) != plain.best.number
    assert study.best.cost > plain.best.cost
    assert study.model != plain.model
    assert "one pair misranked (audit on parity, 2026-11-29, commit abc123)" in study.audit
    assert f"cache-energy: {study.best.recheck:.4g} J (modelled)" in study.best.why
    record = study.to_dict()
    assert (record["audit"], record["best"]["recheck"]) == (study.audit, study.best.recheck)
    # The cost is part of what the study spent, and its curve ends at what was kept.
    assert study.control_use.seconds > 0
    assert study.spent.seconds == pytest.approx(sum(t.spent.seconds for t in study.trials) + study.control_use.seconds)
    assert study.curve()[-1][1] == Trajectory.of(study).best_by(6, "trials") == study.best.lifetime_cost


def test_each_candidate_is_rechecked_only_once_though_the_study_goes_on(tmp_path):
    audit(("operations", "cache-energy", "not safe"))
    seen = []
    search = RandomSearch(**BRIEF, journal=tmp_path / "study.log", on_measurement=seen.append)
    first = search.improve(PROBLEM, SPACE, METER, SearchBudget(trials=4))
    before = len(seen)
    again = search.improve(PROBLEM, SPACE, METER, SearchBudget(trials=4))
    assert len(seen) == before
    assert (again.best.number, again.spent) == (first.best.number, first.spent)
    whole = RandomSearch(**BRIEF).improve(PROBLEM, SPACE, METER, SearchBudget(trials=6))
    assert search.improve(PROBLEM, SPACE, METER, SearchBudget(trials=6)).best.recheck == whole.best.recheck


def test_a_rechecked_winner_of_an_evolution_must_solve_fresh_seeds_too():
    audit(("operations", "cache-energy", "not safe"))
    study = Evolution(n_confirm=2, **BRIEF).improve(PROBLEM, SPACE, METER, SearchBudget(trials=6))
    assert "on fresh seeds: solved on 2 of 2 seeds" in study.best.why
    assert study.best.recheck == min(t.recheck for t in study.trials if t.recheck and t.cost)


def test_a_person_may_override_the_recheck_and_the_study_says_so():
    audit(("operations", "cache-energy", "not safe"))
    override = Override(PROXY_AUDIT, "Ada", "only operations count here")
    study = RandomSearch(**BRIEF, overrides=(override,)).improve(PROBLEM, SPACE, METER, SearchBudget(trials=3))
    assert all(trial.recheck is None for trial in study.trials)
    assert study.audit.endswith("the re-check was overridden by Ada: only operations count here")
    assert study.to_dict()["overrides"][0]["who"] == "Ada"


@pytest.mark.usefixtures("steady_clock")
def test_tuning_by_hand_keeps_no_change_that_is_dearer_by_the_more_realistic_metric():
    larger = ProposedChange("larger batches", {"batch": 16}, "shorter distances, and more work")
    start = TwoLayerNetwork(hidden=60, batch=4, max_epochs=20)
    space = space_of(start, batch=Choice((4, 16)))
    for overrides in ((), (Override(PROXY_AUDIT, "Ada", "only distances count here"),)):
        tuning = ManualTuning([larger], overrides=overrides)
        assert tuning.improve(PROBLEM, space, ReuseDistance(), ALL).best.number == 1
        audit(("ard", "cache-energy", "not safe"))
        study = tuning.improve(PROBLEM, space, ReuseDistance(), ALL)
        assert study.overrides == overrides
        assert study.best.number == len(overrides)
        assert ("more realistic" in study.trials[1].why) is not bool(overrides)
        paths.audit().unlink()


def test_a_recheck_on_a_busy_machine_decides_nothing_and_is_repeated(tmp_path, monkeypatch):
    audit(("ard", "cache-energy", "not safe"))
    search = GridSearch(**BRIEF, journal=tmp_path / "study.log")
    monkeypatch.setattr("sutrolib.processes.recheck.too_high_load", lambda readings: 0.9 if list(readings) else 0.0)
    busy = search.improve(PROBLEM, TRAP, ReuseDistance(), ALL)
    assert all(trial.recheck is None for trial in busy.trials)
    assert busy.best.cost == min(trial.cost for trial in busy.trials)
    monkeypatch.undo()
    monkeypatch.setenv("SUTRO_AUDIT", str(tmp_path / "audit.json"))
    quiet = search.improve(PROBLEM, TRAP, ReuseDistance(), ALL)
    assert quiet.best.recheck == min(trial.recheck for trial in quiet.trials if trial.recheck)


def test_the_reference_is_the_next_rung_that_works_here(monkeypatch):
    audit(("operations", "joules", "not safe"), ("operations", "codecarbon", "not safe"), ("ard", "dmd", "safe"))
    monkeypatch.setattr(CodeCarbon, "available", lambda: Availability(True, ""))
    assert isinstance(needed_recheck("operations", PROBLEM, ())[1], CodeCarbon)
    monkeypatch.setattr(CodeCarbon, "available", lambda: Availability(False, "codecarbon is not installed"))
    monkeypatch.setattr(Joules, "available", lambda: Availability(False, "no counter"))
    with pytest.raises(ValueError, match=r"codecarbon is not installed; .* no counter: add Override\('proxy audit'"):
        RandomSearch(**BRIEF).improve(PROBLEM, SPACE, METER, SearchBudget(trials=1))
    assert needed_recheck("ard", PROBLEM, ()) == ("", None)


def test_a_problem_that_was_not_audited_takes_all_verdicts_and_one_without_a_rung_none():
    audit(("ard", "dmd", "not safe"), ("ard", "dmd", "safe", "shakespeare"))
    assert [bool(found_unsafe("ard", rung)) for rung in ("parity", "digits", "shakespeare")] == [True, True, False]
    assert needed_recheck("ard", MatrixProduct(4), ()) == ("", None)
    paths.audit().write_text("{")
    with pytest.raises(ValueError, match=r"audit\.json cannot be read"):
        found_unsafe("ard", "parity")


@pytest.mark.slow
def test_several_workers_leave_the_recheck_to_the_end(tmp_path):
    audit(("operations", "cache-energy", "not safe"))
    search = RandomSearch(**BRIEF, journal=tmp_path / "study.log")
    study = improve_parallel(search, PROBLEM, SPACE, METER, SearchBudget(trials=8), workers=2)
    assert sum(trial.recheck is not None for trial in study.trials) == 5
    assert study.overrides == ()
