import gc

import pytest
import torch
import torch.nn.functional as F

from sutrolib.meters.access.trace import READ, WRITE, TorchTrace


def stream(trace):
    found = trace.accesses
    names = ["read", "write"]
    return [
        (names[w], trace.buffers[b].label, int(e))
        for w, b, e in zip(found.write, found.buffer, found.elements, strict=True)
    ]


def traced(program, **buffers):
    trace = TorchTrace()
    with torch.inference_mode(), trace:
        trace.load_inputs(buffers)
        program()
    return stream(trace)[len(buffers) :]


def test_an_operator_reads_its_arguments_in_order_and_writes_its_output():
    a, b = torch.ones(2, 3), torch.ones(3)
    assert traced(lambda: a * b, a=a, b=b) == [("read", "a", 6), ("read", "b", 3), ("write", "mul[0]", 6)]


def test_a_repeated_operand_is_read_each_time():
    a = torch.ones(4)
    assert [access[:2] for access in traced(lambda: a + a, a=a)][:2] == [("read", "a"), ("read", "a")]


def test_what_is_updated_in_place_is_read_last_and_then_written():
    a, b = torch.ones(4), torch.ones(4)
    assert traced(lambda: a.add_(b), a=a, b=b) == [("read", "b", 4), ("read", "a", 4), ("write", "a", 4)]


@pytest.mark.parametrize("overwrite", [lambda a, b: a.copy_(b), lambda a, b: torch.neg(b, out=a)])
def test_what_is_only_overwritten_is_not_read(overwrite):
    a, b = torch.ones(4), torch.ones(4)
    assert traced(lambda: overwrite(a, b), a=a, b=b) == [("read", "b", 4), ("write", "a", 4)]


def test_a_view_costs_nothing_and_reads_what_it_selects():
    a = torch.ones(5, 4)
    assert traced(lambda: a[1:3].t().unsqueeze(0).reshape(1, 4, 2), a=a) == []
    assert traced(lambda: a[1] * 2, a=a)[0] == ("read", "a", 4)
    assert traced(lambda: a[:, 1].sum(), a=a)[0] == ("read", "a", 5)
    assert traced(lambda: a.t(), a=a) == []


def test_a_broadcast_axis_is_read_once():
    a = torch.ones(3, 1)
    assert traced(lambda: a.expand(3, 100) * 2, a=a)[0] == ("read", "a", 3)


def test_linear_is_one_kernel_and_other_composites_are_traced_through():
    x, W, b = torch.ones(2, 3), torch.ones(4, 3), torch.ones(4)
    assert traced(lambda: F.linear(x, W, b), x=x, W=W, b=b) == [
        ("read", "x", 6),
        ("read", "W", 12),
        ("read", "b", 4),
        ("write", "linear[0]", 8),
    ]
    assert traced(lambda: torch.matmul(x, W.t()), x=x, W=W)[-1] == ("write", "mm[0]", 8)


def test_a_buffer_keeps_its_number_across_composite_operators():
    a = torch.ones(3, 3)
    trace = TorchTrace()
    with torch.inference_mode(), trace:
        trace.load_inputs({"a": a})
        torch.matmul(a, a)
        a * 2
    assert [buffer.label for buffer in trace.buffers] == ["a", "mm[0]", "mul[0]"]


@pytest.mark.slow
def test_memory_that_is_freed_and_used_again_is_a_new_buffer():
    a = torch.ones(1000)
    trace = TorchTrace()
    addresses = set()
    with torch.inference_mode(), trace:
        for _ in range(20):
            b = a * 2
            addresses.add(b.data_ptr())
            del b
            gc.collect()
    assert len(addresses) < 20, "the allocator did not reuse memory, so this test shows nothing"
    assert len(trace.buffers) == 21


def test_the_peak_counts_what_lives_at_one_time():
    a = torch.ones(250)  # 1000 B
    trace = TorchTrace()
    with torch.inference_mode(), trace:
        for _ in range(10):
            b = a * 2
            del b
    assert trace.peak_bytes == 2000


def test_reading_a_number_out_is_a_read():
    a = torch.ones(4)
    assert traced(lambda: a[2].item(), a=a) == [("read", "a", 1)]


def test_an_empty_tensor_is_not_an_access():
    a = torch.ones(0, 4)
    assert traced(lambda: a * 2) == []


@pytest.mark.parametrize(
    ("tensor", "named"),
    [(torch.eye(3).to_sparse(), "sparse_coo"), (torch.ones(3, device="meta"), "meta")],
)
def test_unusual_tensors_are_refused_by_name(tensor, named):
    with pytest.raises(ValueError, match=named), TorchTrace():
        tensor * 2


def test_an_error_inside_leaves_no_mode_behind():
    trace = TorchTrace()
    with pytest.raises(RuntimeError, match="stop"), trace:
        raise RuntimeError("stop")
    before = len(trace.accesses)
    torch.ones(3) * 2
    assert len(trace.accesses) == before


def test_autograd_programs_are_traced_too():
    w = torch.ones(3, requires_grad=True)
    trace = TorchTrace()
    with trace:
        (w * 2).sum().backward()
    assert {READ, WRITE} == set(trace.accesses.write.tolist())
    assert w.grad.tolist() == [2, 2, 2]


def test_a_binary_search_reads_what_it_looks_at_and_not_the_whole_table():
    table, values = torch.arange(0, 2000, 2), torch.tensor([-1, 999, 1000, 5000])
    with TorchTrace() as trace:
        torch.searchsorted(table, values)
    read = next(a for a in range(len(trace.accesses)) if trace.buffers[trace.accesses.buffer[a]].nbytes == table.nbytes)
    looked_at = trace.accesses.elements[read]
    assert 4 * 9 <= looked_at <= 4 * 10  # a thousand places in at most ten steps
    first = trace.accesses.set_offsets[trace.accesses.range_set[read]]
    assert trace.accesses.range_start[first] == 500 * 8  # the middle comes first


def test_a_storage_that_was_resized_to_0_holds_nothing():
    a = torch.ones(250)  # 1000 B
    trace = TorchTrace()
    with torch.inference_mode(), trace:
        b = a * 2
        b.untyped_storage().resize_(0)
        c = a * 3
        c.untyped_storage().resize_(0)
        d = a * 4
    assert trace.peak_bytes == 2000
    with torch.inference_mode(), trace:
        b.untyped_storage().resize_(1000)  # it is filled again
        b.zero_()
    assert trace.peak_bytes == 3000
    assert d.sum() == 1000
    assert trace.accesses.buffer_nbytes.tolist() == [1000] * 4
