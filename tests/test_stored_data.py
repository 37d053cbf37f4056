"""Every record that is committed under data/ is read by the code as it is: measurements, studies, exams."""

import dataclasses
import importlib
import json
import math
import pkgutil

import pytest

import sutrolib.boards
import sutrolib.models
import sutrolib.problems
from sutrolib.core import paths
from sutrolib.core.cube import BESIDE, RUNGS, Axis
from sutrolib.exam.entries import scale_of
from sutrolib.exam.recipe_search import load_searches, load_verifications
from sutrolib.exam.record import exam_path, read_record
from sutrolib.exam.variants import load_ablation, load_runs
from sutrolib.measurement.ledger import Ledger, is_dirty, read_lines
from sutrolib.measurement.measure import Measurement
from sutrolib.meters import METERS, GridCost, WriteStackMovement
from sutrolib.meters.programs.grid_cost import GridProgram
from sutrolib.processes.budget import AbandonedFamily, MilestoneResult, Override, ResourceUse, SearchBudget
from sutrolib.processes.comparison import ComparisonResult
from sutrolib.processes.study import Trial

LEDGER = Ledger(paths.ROOT / "data" / "ledger")


def classes(package, *methods):
    """The classes of a package that have a name and one of these methods, by that name."""
    found = {}
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for thing in vars(importlib.import_module(module.name)).values():
            if dataclasses.is_dataclass(thing) and any(hasattr(thing, method) for method in methods):
                found[getattr(thing, "name", None)] = thing
    return found


NAMED = {
    "model": classes(sutrolib.models, "fit", "fit_by") | classes(sutrolib.boards, "fit_by"),
    "problem": classes(sutrolib.problems, "sample") | classes(sutrolib.boards, "sample"),
}
RETIRED = {"grid matmul"}  # models whose classes are gone; their records stay, with the texts of their programs


def check_fields(kind, described):
    """A stored problem or model has only fields that the class of its name has."""
    if described["name"] in RETIRED:
        return
    known = {field.name for field in dataclasses.fields(NAMED[kind][described["name"]])}
    assert set(described) - {"name"} <= known, described["name"]


def check_measurement(made):
    assert isinstance(made, Measurement)
    check_fields("model", made.model)
    check_fields("problem", made.problem)
    for axis in (Axis.PROCESS, Axis.PROBLEM):
        assert made.rungs[axis] in {rung.key for rung in RUNGS[axis]} | {""} | BESIDE
    assert bool(made.failure) == (made.score is None)


def test_the_ledger_is_a_few_small_files_without_damage():
    files, bad = LEDGER.files(), []
    assert {path.name for path in LEDGER.folder.iterdir()} - {".ledger.lock"} == {path.name for path in files}
    assert len(files) <= 60
    assert max(path.stat().st_size for path in files) < 2_000_000
    lines = [line for path in files for _, line in read_lines(path, bad)]
    assert bad == []
    assert len({line.id for line in lines}) == len(lines), "a record is published twice"
    assert all(line.dirty for line in lines if is_dirty(json.loads(line.text)["commit"]))


def test_every_measurement_is_read():
    measurements, damaged = LEDGER.read()
    assert damaged == {}
    assert len(measurements) >= 885
    for made in measurements:
        check_measurement(made)
    assert len(LEDGER.frame()) == sum(len(made.readings) for made in measurements)
    names = {meter.name for meter in (*METERS, GridCost, WriteStackMovement)}
    unknown = {r.name for made in measurements for r in made.readings} - names
    assert {name for name in unknown if not name.startswith(("inference-", "peak_", "model-size", "time-to"))} == set()


def test_every_study_is_read_with_its_trials():
    studies = LEDGER.studies()
    assert len(studies) >= 70
    for study in studies:
        check_fields("problem", study["problem"])
        if "results" in study:
            for result in study["results"].values():
                assert json.loads(json.dumps(ComparisonResult.from_dict(result).to_dict())) == result
            continue
        check_study(study)


def check_study(study):
    trials = [Trial.from_dict(trial) for trial in study["trials"]]
    for trial, stored in zip(trials, study["trials"], strict=True):
        written = json.loads(json.dumps(trial.to_dict()))
        assert {name: written[name] for name in stored} == stored  # older records lack fields that were added since
    assert len(trials) <= study["n_trials"]
    for name, made in (("budget", SearchBudget), ("spent", ResourceUse)):
        made(**study[name])
    for name, made in (("milestones", MilestoneResult), ("overrides", Override), ("dropped", AbandonedFamily)):
        for item in study[name]:
            made(**item)
    if study["best"]:
        best = Trial.from_dict(study["best"])
        assert best.proposal.family in {*NAMED["model"], *RETIRED}


@pytest.mark.parametrize("metric", ["grid-cost", "write-dmd"])
def test_programs_that_were_found_are_scored_from_their_text(metric):
    found = [study["found"] for study in LEDGER.studies() if study["metric"] == metric and study.get("found")]
    assert found
    for kept in found:
        check_fields("model", kept["model"])
        if metric == "grid-cost":
            assert GridProgram.parse(kept["program"]).cost == round(kept["cost"])
        else:
            namespace = {}
            exec(kept["program"], namespace)
            assert callable(namespace["program"])
            assert math.isfinite(kept["cost"])


def test_every_record_of_the_exam_is_read(monkeypatch):
    monkeypatch.delenv("SUTRO_EXAM", raising=False)
    cpu = scale_of("cpu")
    names = {path.name for path in paths.exam().glob("cpu_*.json")}
    assert names == {f"cpu_{x}.json" for x in ("ablation", "closed", "corpora", "open", "searches", "verification")}
    for division in ("closed", "open"):
        record = read_record(exam_path("cpu", division))
        assert record.finished
        runs = [run for name in record.model_names for run in record.runs(name)]
        for run in runs:
            check_measurement(run)
    for recipe in load_ablation(cpu).values():
        for run in (*recipe.length_runs, *recipe.runs):
            check_measurement(run)
    for runs in load_runs(cpu).values():
        for run in runs.values():
            check_measurement(run)
    searches = load_searches(cpu)
    assert searches
    for study in (study for records in searches.values() for study in records):
        check_study(study)
    assert load_verifications(cpu)
