import itertools

import pytest

from sutrolib.core.cube import MISTAKES, RUNGS, A, Axis, B, Position, Step, next_steps, path_to_b


def test_a_is_the_bottom_and_b_the_top_of_every_axis():
    assert Position("by-hand", "ard", "parity") == A
    assert Position("evolution", "joules", "shakespeare") == B


def test_the_path_leads_from_a_to_b_one_rung_of_one_axis_at_a_time():
    path = path_to_b()
    assert path[0].start == A
    assert path[-1].end == B
    assert all(one.end == other.start for one, other in itertools.pairwise(path))
    moved = [sum(step.end.indices()) - sum(step.start.indices()) for step in path]
    assert moved == [1] * sum(len(rungs) - 1 for rungs in RUNGS.values())


def test_only_the_last_step_of_the_path_needs_a_power_counter():
    *others, last = path_to_b()
    assert str(last) == "metric: codecarbon -> joules"
    assert all(step.end.metric != "joules" for step in others)
    assert len(others) == 11
    assert [step.axis for step in others[:3]] == [Axis.METRIC, Axis.PROBLEM, Axis.PROCESS]


def test_next_steps_move_one_axis_up():
    assert [str(step) for step in next_steps(A)] == [
        "process: by-hand -> search",
        "metric: ard -> dmd",
        "problem: parity -> parity-hard",
    ]
    assert next_steps(B) == []


def test_a_step_of_two_axes_or_none_is_refused():
    with pytest.raises(ValueError, match="changes process, metric"):
        Step(A, Position("search", "dmd", "parity"))
    with pytest.raises(ValueError, match="changes none"):
        Step(A, A)


def test_an_unknown_rung_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"no rung 'heat'; the rungs are ard, dmd"):
        Position("by-hand", "heat", "parity")


def test_every_axis_has_its_own_rungs_and_there_are_four_mistakes():
    assert len({rung.key for axis in Axis for rung in RUNGS[axis]}) == sum(len(RUNGS[axis]) for axis in Axis)
    assert len({guard for mistake in MISTAKES for guard in mistake.guards}) >= len(MISTAKES) == 4
