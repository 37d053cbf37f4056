import dataclasses

import pytest
from builders import busy

from sutrolib.guards.proxy_audit import audit_ladder, audit_proxy, median_readings, rank_agreement, save_verdicts
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Kind, Reading
from sutrolib.plots.metrics import draw_rows
from sutrolib.processes.recheck import found_unsafe


def runs(*pairs):
    """One candidate for each pair of values, with two runs around it."""
    return [[_run(a * f, b * f) for f in (0.99, 1.01)] for a, b in pairs]


def _run(a, b):
    readings = (Reading("a", a, "x", Kind.COUNTED), Reading("b", b, "J", Kind.ESTIMATED))
    return Measurement({"name": "p"}, {"name": "m"}, "", 0, "accuracy", 1.0, 0.9, readings, {})


@pytest.mark.parametrize(
    ("order", "tau"), [((1, 2, 3, 4, 5), 1.0), ((5, 4, 3, 2, 1), -1.0), ((2, 1, 3, 4, 5), 0.8), ((3, 1, 5, 2, 4), 0.2)]
)
def test_tau_is_the_share_of_pairs_ordered_alike_minus_the_share_ordered_oppositely(order, tau):
    found = rank_agreement(runs(*zip((1, 2, 3, 4, 5), order, strict=True)), "a", "b")
    assert found.value == pytest.approx(tau)
    assert found.low <= found.value <= found.high


def test_few_candidates_of_mixed_order_leave_a_wide_interval():
    found = rank_agreement(runs((1, 2), (2, 1), (3, 4), (4, 3), (5, 5)), "a", "b")
    assert found.high - found.low > 0.5


def test_what_is_ranked_is_the_median_over_seeds():
    medians = median_readings(runs((1, 10), (2, 20)), ["b", "a"])
    assert medians.to_numpy().tolist() == [[pytest.approx(10), pytest.approx(1)], [pytest.approx(20), pytest.approx(2)]]


def test_too_few_candidates_are_refused():
    with pytest.raises(ValueError, match=r"at least 4 candidates \(got 3\)"):
        rank_agreement(runs((1, 1), (2, 2), (3, 3)), "a", "b")


@pytest.mark.parametrize("candidates", range(4, 13))
def test_a_perfect_ranking_can_be_drawn_and_lies_in_its_interval(candidates):
    from types import SimpleNamespace

    def measured(value):
        return [SimpleNamespace(reading=lambda name: SimpleNamespace(value=value))]

    tau = rank_agreement([measured(float(i)) for i in range(candidates)], "a", "b")
    assert tau.low <= tau.value <= tau.high
    draw_rows(["a"], {"tau": [tau]}, "", "", reference=0, log=False)


def test_noise_between_near_equal_candidates_widens_the_interval_of_a_perfect_ranking():
    steady = [[_run(i, i) for _ in range(3)] for i in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)]
    noisy = [[_run(i, i + shift) for shift in (-0.9, 0.0, 0.9)] for i in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)]
    one, other = (rank_agreement(group, "a", "b") for group in (steady, noisy))
    assert one.value == other.value == pytest.approx(1)
    assert other.low < 0.9 < one.low


def named(*pairs, spread=0.01):
    """Candidates by name, each with three runs around its pair of values."""
    return {
        f"c{index}": [_run(a * f, b * f) for f in (1 - spread, 1, 1 + spread)] for index, (a, b) in enumerate(pairs)
    }


def test_a_metric_that_ranks_as_the_reference_does_is_safe():
    found = audit_proxy(named(*((i, i**2) for i in range(1, 9))), "a", "b")
    assert (found.verdict, found.misranked, found.n_resolved_pairs) == ("safe", (), 28)
    assert "a is safe as a stand-in for b" in found.why


def test_a_single_pair_that_is_clearly_the_wrong_way_round_makes_it_unsafe():
    found = audit_proxy(named(*((i, i) for i in range(1, 9)), (0.5, 20)), "a", "b")
    assert found.tau.value > 0.5
    assert found.verdict == "not safe"
    assert len(found.misranked) == 8
    assert all(pair.cheaper == "c8" and pair.metric_ratio < 1 < pair.reference_ratio for pair in found.misranked)
    assert "worst: c8 has 0.5 times the a of c0, and 20 times its b" in found.why


def test_pairs_within_the_noise_or_the_margin_are_not_held_against_a_metric():
    near = named(*((i, i) for i in range(1, 9)), (0.95, 1.05), spread=0.001)
    assert audit_proxy(near, "a", "b").misranked == ()
    assert len(audit_proxy(near, "a", "b", margin=0.01).misranked) == 1
    noisy = named((1, 1.5), (1.2, 1.2), (3, 3), (4, 4), spread=0.3)
    assert audit_proxy(noisy, "a", "b").misranked == ()


def test_candidates_that_cannot_be_told_apart_are_no_ground_for_a_verdict():
    found = audit_proxy(named((1, 1), (2, 1), (3, 1), (4, 1)), "a", "b")
    assert (found.verdict, found.n_resolved_pairs) == ("cannot tell", 0)
    assert "a cannot be judged as a stand-in for b" in found.why


def test_the_ladder_sets_every_metric_against_every_one_above_it():
    pairs = [(x.metric, x.reference) for x in audit_ladder(named(*((i, i) for i in range(1, 6))), ["a", "b"])]
    assert pairs == [("a", "b")]
    with pytest.raises(ValueError, match="margin must be above 0"):
        audit_proxy(named((1, 1), (2, 2), (3, 3), (4, 4)), "a", "b", margin=0)


def test_on_a_busy_machine_nothing_is_ranked_by_a_time():
    values = {"w": (1, 5), "x": (2, 4), "y": (3, 3), "z": (4, 2)}
    named = dict(zip(values, runs(*values.values()), strict=True))
    assert audit_proxy(named, "a", "b").verdict == "not safe"
    found = audit_proxy(named | {"w": [busy(run) for run in named["w"]]}, "a", "b")
    assert found.verdict == "cannot tell"
    assert found.why == "a cannot be judged by b: the machine was busy, load 0.40"
    # One run more than are needed: the audit goes on without a busy one.
    six = {name: [_run(a * f, b * f) for f in (0.99, 1, 1, 1, 1, 1.01)] for name, (a, b) in values.items()}
    spared = audit_proxy(six | {"w": [busy(six["w"][0]), *six["w"][1:]]}, "a", "b")
    assert (spared.verdict, spared.n_busy_runs) == ("not safe", 1)
    assert "(1 runs on a busy machine left out)" in spared.why


def test_pairs_that_are_equal_by_construction_are_left_out():
    # The fused update is the same work in another order: equal by count, and slower or faster by the clock.
    distinct = named(*((i, i**2) for i in range(1, 9)))
    with_copies = distinct | {f"fused {i}": [_run(i * f, 3.0 * i**2 * f) for f in (0.99, 1, 1.01)] for i in (1, 2)}
    found = audit_proxy(with_copies, "a", "b")
    assert found.n_equal_pairs == 2
    assert found.n_resolved_pairs == 10 * 9 / 2 - 2
    assert "(2 equal by construction left out)" in found.why
    copies = {f"{name} again": group for name, group in distinct.items()}
    assert rank_agreement([*distinct.values(), *copies.values()], "a", "b").value == 1


def test_a_reference_that_is_a_function_of_the_metric_is_no_evidence():
    found = audit_proxy(named(*((i, 27.9 * i * f) for i, f in zip(range(1, 9), (1, 1.02) * 4, strict=True))), "a", "b")
    assert found.verdict == "cannot tell"
    assert found.why == "a cannot be judged by b: their ratio is the same in all runs, to within 5%"


@pytest.mark.parametrize(
    ("source", "verdict"), [("load x TDP", "cannot tell"), ("RAPL", "safe")], ids=["power model", "counter"]
)
def test_codecarbon_says_nothing_of_the_time_where_it_multiplies_it_by_a_modelled_power(source, verdict):
    detail = {"source_by_part": {"cpu": source, "ram": "constant", "gpu": "none"}}

    def run(seconds, joules):  # the load moves the watts: between 20 and 30 here
        watts = (Reading("time", seconds, "s", Kind.MEASURED), Reading("codecarbon", joules, "J", "estimated", detail))
        return Measurement({"name": "p"}, {"name": "m"}, "", 0, "accuracy", 1.0, 0.9, watts, {})

    groups = {f"c{i}": [run(i * f, i * f * (20 + i)) for f in (0.99, 1, 1.01)] for i in range(1, 9)}
    found = audit_proxy(groups, "time", "codecarbon")
    assert found.verdict == verdict
    assert ("codecarbon is the time multiplied by a modelled power (constant, load x TDP)" in found.why) == (
        verdict == "cannot tell"
    )


def test_a_search_reads_what_the_audit_has_saved(tmp_path, monkeypatch):
    groups = named(*((i, i) for i in range(1, 9)), (0.5, 20))
    about = {"rungs": {"problem": "parity"}, "when": "2026-11-29T10:00:00", "commit": "abc123"}
    groups = {name: [dataclasses.replace(run, **about) for run in group] for name, group in groups.items()}
    audits = audit_ladder(groups, ["a", "b"])
    path = save_verdicts([dataclasses.replace(one, reference="cache-energy") for one in audits], tmp_path)
    assert path == tmp_path / "results" / "audit.json"
    monkeypatch.setenv("SUTRO_AUDIT", str(path))
    (found,) = found_unsafe("a", "parity")
    assert found == {
        "rung": "parity",
        "metric": "a",
        "reference": "cache-energy",
        "verdict": "not safe",
        "why": audits[0].why.replace("b:", "cache-energy:").replace("its b", "its cache-energy"),
        "when": "2026-11-29T10:00:00",
        "commit": "abc123",
    }
