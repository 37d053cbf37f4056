import pytest
import torch
import torch.nn.functional as F

from sutrolib.meters import NoReading, OperationCount
from sutrolib.meters.access.trace import TorchTrace
from sutrolib.models.parity import mlp


def count(program):
    trace = TorchTrace()
    with torch.inference_mode(), trace:
        program()
    return sum(trace.operations.values())


m, k, n = 3, 5, 7
A, B, v, C = torch.ones(m, k), torch.ones(k, n), torch.ones(k), torch.ones(m, n)
BATCH = torch.ones(2, m, k)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (lambda: A @ B, 2 * m * k * n),
        (lambda: A @ v, 2 * m * k),
        (lambda: v.dot(v), 2 * k),
        (lambda: BATCH.bmm(BATCH.transpose(1, 2)), 2 * 2 * m * k * m),
        (lambda: torch.addmm(C, A, B), 2 * m * k * n + m * n),
        (lambda: F.linear(A, B.t(), torch.ones(n)), 2 * m * k * n + m * n),
        (lambda: F.linear(BATCH, B.t(), torch.ones(n)), 2 * (2 * m * k * n + m * n)),
        (lambda: A * 2, m * k),
        (lambda: A.ne(0), m * k),
        (lambda: torch.ones(3).ne_(0), 3),
        (lambda: A.sum(), m * k),
        (lambda: A.amax(1), m * k),
        (lambda: A.t().clone(), 0),
        (lambda: A[torch.tensor([0, 1])], 0),
        (lambda: torch.randn(100), 0),
        (lambda: A[0, 0].item(), 0),
        (lambda: A.double(), 0),
    ],
)
def test_counts_are_the_textbook_ones(program, expected):
    assert count(program) == expected


X, H, OUT, Y = torch.ones(4, 6), torch.ones(4, 6), torch.ones(4, 2), torch.ones(4, 2)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("hinge_grad", lambda: (OUT, Y)),
        ("square_grad", lambda: (OUT, Y)),
        ("linear_grad", lambda: (OUT, H)),
        ("sgd_", lambda: (torch.ones(6), torch.ones(4, 6), 0.1, 0.01)),
        ("sgd_", lambda: (torch.ones(2, 6), torch.ones(2, 6), 0.1, 0.01)),
    ],
)
def test_a_fused_kernel_costs_what_its_parts_cost(name, arguments):
    whole = count(lambda: getattr(torch.ops.sutro, name)(*arguments()))
    parts = count(lambda: getattr(mlp, name)(*arguments()))
    assert whole == parts > 0


def test_a_kernel_that_the_meter_does_not_know_is_refused():
    library = torch.library.Library("elsewhere", "DEF")
    library.define("everything(Tensor x) -> Tensor")
    library.impl("everything", lambda x: x * 2, "CompositeExplicitAutograd")
    with pytest.raises(ValueError, match=r"elsewhere::everything.*operators\.toml"), OperationCount():
        torch.ops.elsewhere.everything(torch.ones(3))


def test_the_meter_splits_its_reading_by_operator_and_says_counted():
    with OperationCount() as meter:
        torch.ones(4) * 2 + 1
    assert (meter.reading.value, meter.reading.kind) == (8, "counted")
    assert meter.reading.detail["by_operator"] == {"add": 4, "mul": 4}
    assert meter.reading.detail["by_type"] == {"float32": 8}


def test_a_block_without_arithmetic_has_no_reading():
    with pytest.raises(NoReading), OperationCount():
        torch.ones(3).clone()


def test_a_sort_and_a_binary_search_count_their_comparisons():
    values = torch.randperm(1000)
    with OperationCount() as meter:
        values.sort()
    assert meter.reading.value == 1000 * 10
    table = values.sort().values
    with OperationCount() as meter:
        torch.searchsorted(table, torch.tensor([3, 500, 999]))
    assert meter.reading.value == 3 * 10
    with OperationCount() as meter:
        values.unique(return_counts=True)
    assert meter.reading.value == 1000 * 10
