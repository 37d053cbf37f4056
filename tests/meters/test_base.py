"""What all meters have in common."""

import pytest
import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from sutrolib.meters import METERS, GridCost, NoReading, OperationCount, PeakMemory, WriteStackMovement


@pytest.mark.parametrize("kind", [*METERS, GridCost, WriteStackMovement])
def test_a_meter_entered_twice_says_so_and_leaves_nothing_open(kind, monkeypatch):
    if hasattr(kind, "_open"):  # a window: without its device
        monkeypatch.setattr(kind, "_open", lambda meter: None)
        monkeypatch.setattr(kind, "_close", lambda meter: lambda: None)
    meter = kind()
    why = f"{meter.name}: this meter was entered twice; make a second one"
    with pytest.raises(RuntimeError, match=why), meter, meter:
        pytest.fail("the inner block must not run")
    assert _get_current_dispatch_mode_stack() == []
    with pytest.raises(NoReading):
        _ = meter.reading
    with pytest.raises(ZeroDivisionError), meter:  # it can be entered again
        _ = 1 / 0


def test_other_meters_may_be_nested_and_the_same_one_used_again():
    outer, inner, x = OperationCount(), OperationCount(), torch.ones(100)
    with outer, PeakMemory() as peak:
        x + x
        with inner:
            x * x
    assert (outer.reading.value, inner.reading.value) == (200, 100)
    assert peak.reading.value == 800
    with inner:
        x * x * x
    assert inner.reading.value == 200
