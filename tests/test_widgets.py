from builders import measurement

from sutrolib.cube import A, Position
from sutrolib.meters.base import Kind, Reading
from sutrolib.widgets import count_positions, describe_position, positions_of

ARD = Reading("ard", 100.0, "floats", Kind.COUNTED)
JOULES = Reading("codecarbon", 2.0, "J", Kind.ESTIMATED)
TIME = Reading("time", 1.0, "s", Kind.MEASURED)
BOTH = [measurement(seed=seed, readings=(TIME, ARD, JOULES)) for seed in range(3)]
ESTIMATED = Position("by-hand", "codecarbon", "parity")


def test_a_run_stands_on_every_rung_of_the_metric_axis_that_was_read():
    assert positions_of(BOTH[0]) == [A, ESTIMATED]
    assert positions_of(measurement(readings=(TIME,))) == []
    assert count_positions(BOTH) == {A: 3, ESTIMATED: 3}


def test_a_position_shows_its_runs_by_model_with_their_kind_and_the_steps_on():
    text = describe_position(ESTIMATED, [*BOTH, measurement(score=0.5, readings=(JOULES,))])
    assert "**4 runs measured here**" in text
    assert "| made up | 4 | 3 | 2 J | 2 to 2 | estimated |" in text
    assert "- metric: codecarbon -> joules" in text


def test_an_empty_position_says_so():
    assert "Nothing has been measured here yet" in describe_position(Position("agent", "ard", "digits"), BOTH)
