"""What follows from a record of the final exam: verdict, table, figures, and the command that shows them."""

import dataclasses
import re
import statistics

import pytest
from builders import busy
from exams import TINY, fake_run, record_of, with_windows
from matplotlib import pyplot as plt

import sutrolib.cli.exam
import sutrolib.exam.run
from sutrolib.__main__ import main
from sutrolib.core import paths
from sutrolib.core.format import amount
from sutrolib.core.provenance import machine
from sutrolib.exam.entries import BASELINE, CLOSED, OPEN, TUNED, Entry
from sutrolib.exam.plots import cost_labels, draw_other_costs, draw_pareto_front, draw_seeds, draw_verdict
from sutrolib.exam.record import new_record, read_record
from sutrolib.exam.verdict import COSTLIER_USE, table, target, verdict_of, verdicts
from sutrolib.measurement.comparison import A_CLOCK
from sutrolib.meters.base import Kind, Reading

BETTER = {"energy": 50.0, "seconds": 5.0, "loss": 1.9, "accuracy": 0.51, "work": 0.5}


@pytest.fixture(autouse=True)
def own_records(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path / "exam"))
    yield
    plt.close("all")


def verdict(**numbers):
    return verdict_of(record_of(**(BETTER | numbers)), "other rate")


def test_less_energy_and_time_at_a_better_loss_and_accuracy_passes():
    found = verdict()
    assert found.passed
    assert found.text.startswith("other rate: passed; training energy ratio 0.5")
    assert found.text.endswith("No other cost is higher.")
    assert [line.kind for line in found.lines if line.met is not None] == [
        "estimated",
        "measured",
        "counted",
        "modelled",
        "counted",
        "counted",
    ]


def test_the_closed_division_says_that_its_energy_is_a_clock_and_names_what_is_least_favourable():
    whole, theirs = read_record(paths.ROOT / "data" / "exam" / "cpu_closed.json"), "distilled GPT"
    record = dataclasses.replace(whole, entries={theirs: whole.entries[theirs]})
    [found] = verdicts(record)
    power = found.energy.change.power
    spread = power.high / power.low - 1
    assert 0 < spread < 0.02  # of a constant times seconds
    said = f"{A_CLOCK}, {power.low:.4g} to {power.high:.4g} W, spread {100 * spread:.2g} %"
    assert f"(estimated: {said})" in found.text
    work = ["training operations", "cache energy of training"]
    asked = ["wall-clock time to target", *work, "loss", "accuracy"]
    assert [line.quantity for line in found.criteria] == asked

    def times_less(name):
        """By the runs themselves, pair by pair."""
        pairs = zip(record.runs("baseline"), record.runs(theirs), strict=True)
        return statistics.geometric_mean(
            b.reading(name).value / c.reading(name).value
            for b, c in pairs
            if name in {reading.name for reading in b.readings} & {reading.name for reading in c.readings}
        )

    costs = {"wall-clock time to target": "time", "training operations": "operations"}
    costs["cache energy of training"] = "cache-energy"
    found_less = [1 / found.line(quantity).change.value for quantity in costs]
    assert found_less == pytest.approx([times_less(name) for name in costs.values()], rel=0.01)
    assert "least favourable of these costs: training operations" in found.text
    title = draw_verdict(record).axes[0].get_title("left") or plt.gcf().axes[0].get_title()
    assert title.replace("\n", " ") == (
        f"distilled GPT passes with {times_less('time'):.3g} times less time ({A_CLOCK}); "
        f"least favourable: training operations, {times_less('operations'):.3g} times less"
    )
    header, rows = table(record)
    assert rows[0][header.index("required")] == ""
    assert A_CLOCK in rows[0][header.index("kind")]
    assert A_CLOCK in cost_labels(record)["codecarbon"]
    assert A_CLOCK in draw_pareto_front(record).axes[0].get_title("left").replace("\n", " ")


def test_in_the_closed_division_every_entry_passes_and_the_one_of_least_energy_makes_the_title():
    record = read_record(paths.ROOT / "data" / "exam" / "cpu_closed.json")
    found = {one.entry: one for one in verdicts(record)}
    assert {one.state for one in found.values()} == {"passed"}
    least = min(found, key=lambda name: found[name].energy.change.value)
    assert least == "GPT from counts"
    assert A_CLOCK not in found[least].energy.kind  # short and long windows differ in power, so it is a criterion
    assert found[least].energy.criterion == "below 1"
    figure = draw_verdict(record)
    title = figure.axes[0].get_title("left") or figure.axes[0].get_title()
    assert title.replace("\n", " ").startswith("2 of 2 entries pass; GPT from counts passes with ")
    labels = [label.replace("\n", " ") for label in figure.axes[0].get_legend_handles_labels()[1]]
    assert "training energy (estimated)" in labels  # of which one is a clock, and the other is not


@pytest.mark.parametrize(("factor", "is_clock"), [(1.049, True), (1.051, False)])
def test_energy_is_a_criterion_of_its_own_only_where_the_power_spreads_by_five_per_cent(factor, is_clock):
    powers = iter([28.0, *[28.0 * factor] * 100])
    found = verdict_of(with_windows(record_of(**BETTER), lambda reading: next(powers)), "other rate")
    assert (A_CLOCK in found.text) == is_clock
    assert (found.energy.criterion == "") == is_clock
    assert found.time.criterion == ("below 1" if is_clock else "at most 1")
    assert "W, spread" in found.text
    assert found.passed


def test_where_energy_is_a_clock_as_much_time_does_not_pass_and_is_the_only_one_named():
    found = verdict_of(with_windows(record_of(**(BETTER | {"energy": 100.0, "seconds": 10.0}))), "other rate")
    assert [line.quantity for line in found.lines if line.met is False] == ["wall-clock time to target"]


@pytest.mark.parametrize(
    ("worse", "missed"),
    [
        ({"energy": 101.5}, "training energy"),
        ({"energy": 100.0}, "training energy"),  # as much energy is not less
        ({"seconds": 10.5}, "wall-clock time to target"),
        ({"accuracy": 0.498}, "accuracy"),
    ],
)
def test_one_unmet_criterion_fails_the_entry_and_is_named(worse, missed):
    found = verdict(**worse)
    assert not found.passed
    assert [line.quantity for line in found.lines if line.met is False] == [missed]
    assert found.text.startswith("other rate: not passed; ")
    assert f"{missed} " in found.text.split("not met")[0].split("; ")[-1]


def test_as_much_work_does_not_pass_whatever_the_clock_says():
    found = verdict(work=1.0)
    assert found.state == "not passed"
    missed = [line.quantity for line in found.lines if line.met is False]
    assert missed == ["training operations", "cache energy of training"]


def test_without_counts_nothing_is_decided_and_the_reason_is_given():
    record = record_of(**BETTER)
    for runs in record.measurements.values():
        for seed, run in runs.items():
            readings = tuple(r for r in run.readings if r.name != "operations")
            runs[seed] = dataclasses.replace(run, readings=readings, missing={"operations": "not traced: a kernel"})
    found = verdict_of(record, "other rate")
    assert found.state == "not decided"
    assert "no operations (not traced: a kernel)" in found.text


def with_use(record, joules, seconds):
    """The record with these costs of 1,000 predictions of the candidate, of which the baseline's are 1 J and 0.1 s."""
    runs = record.measurements["bigram"]
    for seed, run in runs.items():
        used = {"inference-codecarbon": joules, "inference-time": seconds}
        readings = (dataclasses.replace(r, value=used[r.name]) if r.name in used else r for r in run.readings)
        runs[seed] = dataclasses.replace(run, readings=tuple(readings))
    return record


def open_record():
    """A finished record of the open division, with an entry that is better."""
    record = new_record(dataclasses.replace(TINY, entries={OPEN: TINY.entries[OPEN][:1]}), OPEN, 5)
    for name, numbers in ((BASELINE, {}), ("bigram", BETTER)):
        record.measurements[name] = {seed: fake_run(seed, **numbers) for seed in range(5)}
    return record


def test_who_passes_in_training_and_costs_more_in_use_is_called_that_with_the_predictions_it_pays_for():
    found = verdict_of(with_use(open_record(), joules=1.0, seconds=0.109), "bigram")
    assert found.state == "passed"
    found = verdict_of(with_use(open_record(), joules=1.5, seconds=0.09), "bigram")
    assert (found.passed, found.state) == (False, COSTLIER_USE)
    saved = found.energy.baseline - found.energy.candidate
    assert found.break_even == (pytest.approx(1000 * saved / 0.5), "estimated")
    assert f"It pays up to {1000 * saved / 0.5:,.3g} predictions (estimated energy)." in found.text
    title = titles_of(with_use(open_record(), joules=1.5, seconds=0.09))[0]
    assert COSTLIER_USE in title.replace("\n", " ")


def test_use_that_may_cost_more_is_not_decided():
    record = open_record()
    with_use(record, joules=1.0, seconds=0.1)
    runs = record.measurements["bigram"]
    for seed, factor in enumerate((0.7, 1.4, 0.7, 1.4, 1.0)):
        readings = (
            dataclasses.replace(r, value=0.1 * factor) if r.name == "inference-time" else r for r in runs[seed].readings
        )
        runs[seed] = dataclasses.replace(runs[seed], readings=tuple(readings))
    found = verdict_of(record, "bigram")
    assert found.state == "not decided"
    assert "required at most 1.1: not decided: it may be 1.1" in found.text


def to_target(target=1.95, **numbers):
    """A record whose trainings end at a loss."""
    record = dataclasses.replace(record_of({"loss": 1.94}, **(BETTER | {"loss": 1.949} | numbers)), evaluations=40)
    return dataclasses.replace(record, problem={**record.problem, "target_loss": target})


def test_at_the_same_target_loss_costs_decide_and_the_lower_loss_does_not():
    found = verdict_of(to_target(accuracy=0.4), "other rate")
    assert found.passed
    assert found.line("loss").criterion == "at most 1.95 on every seed"
    assert "missed the target" not in found.text
    assert found.line("accuracy").met is None
    missed = verdict_of(to_target(loss=1.96), "other rate")
    assert [line.quantity for line in missed.criteria if not line.met] == ["training time (target missed)", "loss"]
    assert not verdict_of(to_target(target=1.93), "other rate").passed  # which the baseline has missed, too


def test_a_baseline_that_missed_the_target_is_charged_for_its_training_and_named():
    found = verdict_of(to_target(target=1.93, loss=1.92), "other rate")
    assert found.passed
    assert "The baseline missed the target on 5 of 5 seeds (0, 1, 2, 3, 4): its costs there are" in found.text


def test_where_there_is_a_tuned_baseline_the_others_are_compared_with_it_too():
    tuned = (*TINY.entries[CLOSED], Entry(TUNED, TINY.baseline, "tuned"))
    scale = dataclasses.replace(TINY, entries={CLOSED: tuned})
    record = new_record(scale, CLOSED, 5)
    for name, numbers in ((BASELINE, {}), ("other rate", BETTER), (TUNED, BETTER | {"energy": 40.0})):
        record.measurements[name] = {seed: fake_run(seed, **numbers) for seed in range(5)}
    found = {one.title: one for one in verdicts(record)}
    assert list(found) == ["other rate", TUNED, f"other rate / {TUNED}"]
    assert found["other rate"].passed
    assert found[f"other rate / {TUNED}"].energy.change.value == pytest.approx(50 / 40, rel=0.02)
    assert found[f"other rate / {TUNED}"].state == "not passed"
    assert {row[0] for row in table(record)[1]} == set(found)


def test_a_loss_that_is_lower_on_the_mean_alone_does_not_pass_and_loss_is_named():
    record = record_of(**BETTER)
    for seed, more in enumerate((-0.02, 0.01, -0.02, 0.01, -0.02)):
        base = record.measurements[BASELINE][seed].scores["loss"]
        run = record.measurements["other rate"][seed]
        scores = {**run.scores, "loss": base + more}
        record.measurements["other rate"][seed] = dataclasses.replace(run, scores=scores)
    found = verdict_of(record, "other rate")
    assert found.line("loss").change.value == pytest.approx(-0.008)
    assert [line.quantity for line in found.lines if line.met is False] == ["loss"]
    assert not found.passed


def test_above_the_target_loss_there_is_no_time_to_target():
    found = verdict(loss=2.1)
    assert [line.quantity for line in found.lines if line.met is False] == ["training time (target missed)", "loss"]
    assert found.line("wall-clock time to target") is None


def test_the_bad_end_of_every_interval_is_what_counts():
    record = record_of(**BETTER)
    runs = record.measurements["other rate"]
    runs[0] = fake_run(0, **(BETTER | {"energy": 400.0, "seconds": 40.0}))  # one seed is far off
    found = verdict_of(record, "other rate")
    energy = found.line("training energy")
    assert energy.change.value < 1 < energy.change.high
    assert not found.passed


def test_the_target_is_the_mean_over_the_baselines_seeds():
    record = record_of(**BETTER)
    runs = record.runs(BASELINE)
    assert target(record) == pytest.approx(
        (sum(r.scores["loss"] for r in runs) / 5, sum(r.scores["accuracy"] for r in runs) / 5)
    )
    record.measurements.clear()
    with pytest.raises(ValueError, match="no target yet"):
        target(record)


def test_other_costs_that_rise_are_named_and_do_not_fail():
    found = verdict(size=3000.0)
    assert found.passed
    assert "At the cost of: model size 3 times (counted)." in found.text
    assert [line.quantity for line in found.side_costs] == ["model size"]


def test_measured_joules_decide_where_every_run_has_them_and_say_what_they_do_not_cover():
    found = verdict_of(record_of({"kind": Kind.MEASURED}, **BETTER, kind=Kind.MEASURED), "other rate")
    assert found.line("training energy").kind == "measured"
    mixed = record_of({"kind": Kind.MEASURED}, **BETTER)
    found = verdict_of(mixed, "other rate")
    assert not found.passed
    assert "no joules" in found.text
    assert found.line("training energy") is None
    covered = record_of({"kind": Kind.MEASURED}, **BETTER, kind=Kind.MEASURED)
    for runs in covered.measurements.values():
        for seed, run in runs.items():
            detail = {"not_covered": {"processor": "no counter"}}
            readings = tuple(
                Reading(r.name, r.value, r.unit, r.kind, detail if r.name == "joules" else {}) for r in run.readings
            )
            runs[seed] = dataclasses.replace(run, readings=readings)
    assert "The joules do not cover: processor (no counter)." in verdict_of(covered, "other rate").text


def test_missing_joules_are_reported_with_the_reason():
    record = record_of(**BETTER)
    for runs in record.measurements.values():
        for seed, run in runs.items():
            readings = tuple(r for r in run.readings if r.unit != "J")
            missing = {"joules": "no power counter", "codecarbon": "not installed"}
            runs[seed] = dataclasses.replace(run, readings=readings, missing=missing)
    found = verdict_of(record, "other rate")
    assert not found.passed
    assert "no joules (joules: no power counter; codecarbon: not installed)" in found.text


def test_an_unfinished_exam_says_what_is_missing_and_does_not_pass():
    record = record_of(**BETTER)
    del record.measurements["other rate"][3]
    found = verdict_of(record, "other rate")
    assert not found.passed
    assert "other rate has 4 of 5 runs" in found.text
    record.measurements["other rate"].clear()
    found = verdict_of(record, "other rate")
    assert found.state == "not decided"
    assert "cannot compare: 0 pairs" in found.text
    assert "The other costs are not decided" in found.text
    assert titles_of(record) == [
        "other rate: not decided (other rate has 0 of 5 runs; cannot compare: 0 pairs of successful runs)",
        "other rate has no run to compare",
        "other rate: not decided",
        "There is no entry to compare with the baseline",
    ]


def test_every_entry_has_its_verdict_and_every_number_of_the_table_its_kind():
    record = new_record(TINY, OPEN, 5)
    for name, numbers in ((BASELINE, {}), ("bigram", BETTER), ("trigram", {"energy": 300.0})):
        record.measurements[name] = {seed: fake_run(seed, **numbers) for seed in range(5)}
    assert [found.passed for found in verdicts(record)] == [True, False]
    header, rows = table(record)
    assert {row[0] for row in rows} == {"bigram", "trigram"}
    kinds = {row[header.index("kind")] for row in rows}
    assert kinds == {"estimated", "measured", "counted", "modelled"}
    shown = {cell for row in rows for cell in row}
    assert any(cell.startswith("x 0.5") for cell in shown)
    assert "below 1: NO" in shown
    assert amount(419_300.0, "B") == "419.3 kB"
    assert amount(0.25, "J") == "0.25 J"


def titles_of(record):
    axes = [draw(record).axes[0] for draw in (draw_verdict, draw_seeds, draw_other_costs, draw_pareto_front)]
    return [ax.get_title("left") or ax.get_title() for ax in axes]  # where the style puts it


def test_the_figures_say_what_the_record_shows():
    record = record_of(**BETTER)
    titles = titles_of(record)
    assert titles[0] == "other rate passes with 1.99 times less energy and 2.01 times less time"
    assert titles[1] == "other rate has the lower loss on 5 of 5 seeds"
    assert titles[2] == "other rate: no other cost is higher"
    assert "times less energy at a loss of 1.9" in titles[3]
    worse = record_of(energy=300.0, size=2000.0, loss=2.1)
    titles = titles_of(worse)
    assert titles[0].startswith("other rate does not pass with 3.01 times as much energy and as much time (not met: ")
    assert titles[1] == "other rate has the lower loss on 0 of 5 seeds"
    assert "model size x 2" in titles[2]
    assert titles[3] == "No entry has less energy and a lower loss than the baseline"


def loaded(record, *seeds):
    """The record with the candidate's runs on these seeds taken on a busy machine."""
    runs = record.measurements["other rate"]
    runs |= {seed: busy(runs[seed]) for seed in seeds}
    return record


def test_on_a_busy_machine_nothing_is_decided_and_every_text_says_why():
    record = loaded(record_of(**BETTER), 3)
    found = verdict_of(record, "other rate")
    assert (found.passed, found.state) == (False, "not decided")
    assert found.text.startswith("other rate: not decided; training energy ratio 0.50")
    assert found.text.count("not decided: the machine was busy, load 0.40; ") == 2  # energy and time
    assert "loss difference -0.09" in found.text
    assert "No other cost is higher" not in found.text
    header, rows = table(record)
    assert rows[0][header.index("required")] == "below 1: not decided: the machine was busy, load 0.40"
    assert rows[0][header.index("change (95 %)")].endswith("(busy: load 0.40)")
    titles = titles_of(record)
    assert titles[0] == "other rate: not decided (the machine was busy, load 0.40)"
    assert titles[2] == "other rate: not decided"
    assert titles[3] == "Not decided: the machine was busy, load 0.40"
    assert found.break_even[1] == "not decided: the machine was busy, load 0.40"


def test_a_worse_loss_fails_the_entry_whatever_the_load():
    assert verdict_of(loaded(record_of(**(BETTER | {"loss": 2.1})), 0), "other rate").state == "not passed"


def test_a_failed_baseline_and_missing_runs_do_not_fail_the_entry_and_its_own_failure_does():
    record = record_of(**BETTER)
    record.measurements[BASELINE][1] = fake_run(1, failure="killed", score=None, readings=())
    found = verdict_of(record, "other rate")
    assert found.text.startswith("other rate: not decided; baseline failed on seed 1 (killed); ")
    assert "not decided: an interval needs 5 pairs" in found.text
    record.measurements["other rate"][1] = fake_run(1, failure="diverged", score=None, readings=())
    assert verdict_of(record, "other rate").state == "not passed"


@pytest.mark.parametrize("draw", [draw_verdict, draw_seeds, draw_other_costs, draw_pareto_front])
def test_what_is_not_finished_or_failed_can_be_drawn_too(draw):
    record = record_of(**BETTER)
    record.measurements["other rate"].clear()
    draw(record).draw_without_rendering()
    record.measurements.clear()
    draw(record).draw_without_rendering()


def test_the_pareto_front_has_a_point_for_every_run_with_its_kind_on_the_axis():
    ax = draw_pareto_front(record_of(**BETTER)).axes[0]
    assert "(codecarbon, estimated)" in ax.get_xlabel()
    small = [line for line in ax.lines if line.get_markersize() == 4]
    assert [len(line.get_xdata()) for line in small] == [5, 5]


def test_the_command_shows_progress_table_and_verdict_and_a_finished_exam_at_once(monkeypatch, capsys):
    def fake(problem, model, seed, meter, **options):
        numbers = BETTER if model != TINY.baseline else {}
        return fake_run(seed, **numbers)

    monkeypatch.setattr(sutrolib.exam.run, "evaluate", fake)
    monkeypatch.setattr(sutrolib.cli.exam, "scale_of", lambda name: TINY)
    assert main(["exam"]) == 0
    first = capsys.readouterr().out
    assert "[1 of 10] seed 0, baseline: loss " in first
    assert "(estimated); about 0 s left" in first
    assert "VERDICT other rate: passed" in first
    assert "Time: unknown before; what is left is said after the first" in first
    monkeypatch.setattr(sutrolib.exam.run, "evaluate", None)
    assert main(["exam"]) == 0
    again = capsys.readouterr().out
    assert "[1 of 10]" not in again
    assert "All runs were there already" in again
    assert "trainings to run" not in again
    assert again[again.index("VERDICT") :] == first[first.index("VERDICT") :]
    assert "--division closed --scale tiny --seeds 5 --again" in again


RUNS_LEFT = [((), 5, 27), (("--seeds", "6"), 7, 36), (("--again",), 10, 45)]


@pytest.mark.parametrize(("options", "runs", "seconds"), RUNS_LEFT)
def test_the_command_says_beforehand_how_long_what_is_left_takes(monkeypatch, capsys, options, runs, seconds):
    record = record_of(**BETTER)
    for seed in range(5):
        del record.measurements["baseline"][seed]
    record.measurements["baseline"][1] = fake_run(1)
    record.measurements["other rate"].pop(4)
    order = [("other rate", 0), ("other rate", 1), ("baseline", 1), ("other rate", 2), ("other rate", 3)]
    for (name, seed), second in zip(order, (0, 3, 9, 12, 15), strict=True):
        when = f"2026-01-02T00:00:{second:02}+00:00"
        record.measurements[name][seed] = dataclasses.replace(record.measurements[name][seed], when=when)
    record.save()
    monkeypatch.setattr(sutrolib.exam.run, "evaluate", lambda problem, model, seed, *rest, **options: fake_run(seed))
    monkeypatch.setattr(sutrolib.cli.exam, "scale_of", lambda name: TINY)
    assert main(["exam", *options]) == 0
    said = re.search(rf"^{runs} trainings to run: about (\d+) s, by the times", capsys.readouterr().out, re.MULTILINE)
    assert int(said[1]) == pytest.approx(seconds, rel=0.02)


def test_an_interrupted_command_says_how_to_go_on(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(sutrolib.exam.run, "evaluate", interrupted)
    assert main(["exam"]) == 130
    assert "the same command without --again resumes the exam" in capsys.readouterr().out


def test_the_command_refuses_what_it_does_not_know(capsys):
    for option, unknown in (("--scale", "smok"), ("--division", "half")):
        with pytest.raises(SystemExit, match="2"):
            main(["exam", option, unknown])
    assert main(["exam", "--seeds", "3"]) == 2
    printed = capsys.readouterr().err
    assert "choose from 'smoke', 'cpu', 'cpu-to-target', 'gpu-on-cpu', 'gpu')" in printed
    assert "did you mean 'smoke'?" in printed
    assert "choose from 'closed', 'open'" in printed
    assert "seeds must be 5 to 1000 (got 3)" in printed


def test_pack_writes_the_text_and_says_what_to_copy(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sutrolib.problems.shakespeare.keep_copy", lambda: tmp_path / "kept.txt")
    assert main(["exam", "--pack"]) == 0
    printed = capsys.readouterr().out
    assert f"The text is in {tmp_path / 'kept.txt'}" in printed
    assert "python -m sutrolib exam --scale gpu" in printed


def test_a_record_names_the_machine_and_the_command():
    record = record_of()
    assert record.machine == machine()
    assert record.command == "python -m sutrolib exam --division closed --scale tiny --seeds 5 --again"
    assert record.baseline["max_steps"] == 4
