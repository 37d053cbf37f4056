"""Which bytes advanced indexing, masks, gathers and scatters touch, against a loop over the elements."""

# ruff: noqa: B023 (each function is called before its loop goes on)

import itertools
import random
from collections import Counter

import numpy as np
import pytest
import torch

from sutrolib.meters import DataMovement, OperationCount, PeakMemory, ReuseDistance
from sutrolib.meters.access.trace import READ, WRITE, TorchTrace

ITEM = 4  # bytes of an element


def touched(program, **buffers):
    """Bytes that the program reads and writes of each of these tensors, by (direction, label)."""
    trace = TorchTrace()
    with torch.no_grad(), trace:
        trace.load_inputs(buffers)
        loaded = len(trace.accesses)
        program()
    found, columns = {}, trace.accesses
    for at in range(loaded, len(columns)):
        ranges = slice(*columns.set_offsets[columns.range_set[at] : columns.range_set[at] + 2])
        pairs = zip(columns.range_start[ranges], columns.range_nbytes[ranges], strict=True)
        key = int(columns.write[at]), trace.buffers[columns.buffer[at]].label
        found.setdefault(key, Counter()).update(byte for start, size in pairs for byte in range(start, start + size))
    return found


def expected(elements):
    return Counter(byte for element in elements for byte in range(element * ITEM, element * ITEM + ITEM))


def some_view(rng, axes, smallest=1):
    """A strided view without overlap, and the place in its storage of each of its elements."""
    shape = [rng.randint(smallest, 4) for _ in range(axes)]
    order = rng.sample(range(axes), axes)
    steps = [rng.randint(1, 2) for _ in shape]
    base = torch.randn([shape[a] * steps[a] for a in order])
    places = torch.arange(base.numel()).view(base.shape)
    cut = tuple(slice(0, None, steps[a]) for a in order)
    back = [order.index(a) for a in range(axes)]
    return base[cut].permute(back), places[cut].permute(back).numpy()


def some_index(rng, shape):
    """An index of NumPy's kind with at least one advanced part: masks, lists, tensors, integers, slices, None, ..."""
    parts, axis, count = [], 0, rng.randint(0, 3)
    while axis < len(shape):
        rank = min(rng.randint(1, 2), len(shape) - axis)
        size = shape[axis]
        if rng.random() < 0.4 and (places := int(np.prod(shape[axis : axis + rank]))) >= count:
            mask = np.zeros(places, bool)
            mask[rng.sample(range(places), count)] = True
            parts.append(mask.reshape(shape[axis : axis + rank]))
            axis += rank
            continue
        kind = rng.choice(("slice", "int", "list", "array", "column"))
        if kind == "slice" or not size:
            parts.append(slice(rng.randint(0, size), None, rng.randint(1, 2)))
        elif kind == "int":
            parts.append(rng.randrange(-size, size))
        else:
            picked = [rng.randrange(-size, size) for _ in range(count)]
            parts.append(picked if kind == "list" and picked else np.array(picked, np.int64))
            if kind == "column":
                parts[-1] = parts[-1][: rng.randint(1, 2), None]
        axis += 1
    while parts and isinstance(parts[-1], slice) and rng.random() < 0.3:
        parts.pop()
    for _ in range(rng.randint(0, 1)):
        parts.insert(rng.randint(0, len(parts)), None)
    if rng.random() < 0.2:
        parts.append(...)
    return tuple(parts)


@pytest.mark.parametrize("cases", [100, pytest.param(3000, marks=pytest.mark.slow)])
def test_any_index_reads_and_writes_what_numpy_selects(cases):
    seen = 0
    for seed in itertools.count():
        rng = random.Random(seed)
        torch.manual_seed(seed)
        x, places = some_view(rng, rng.randint(1, 4), smallest=0)
        index = some_index(rng, x.shape)
        arrays = [part for part in index if isinstance(part, np.ndarray)]
        try:
            selected = places[index]
        except IndexError:
            continue  # parts that do not fit together
        if not any(isinstance(part, list | np.ndarray) for part in index):
            continue
        torch_index = tuple(torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in index)
        tensors = {f"index{n}": i for n, i in enumerate(i for i in torch_index if isinstance(i, torch.Tensor))}
        result, value, before, after = [], torch.randn(selected.shape), x.clone(), x.clone()
        try:
            after[torch_index] = value
        except RuntimeError:
            continue  # PyTorch stores no empty value through some indices

        def store():
            x[torch_index] = value

        read = touched(lambda: result.append(x[torch_index]), x=x, **tensors)
        written = touched(store, x=x, value=value, **tensors)
        assert read.get((READ, "x"), Counter()) == expected(selected.ravel()), (seed, index)
        assert written.get((WRITE, "x"), Counter()) == expected(selected.ravel()), (seed, index)
        assert (READ, "x") not in written
        assert (WRITE, "x") not in read
        for n, array in enumerate(arrays):
            whole = Counter(range(array.nbytes))
            assert read.get((READ, f"index{n}"), Counter()) == whole, (seed, index)
            assert written.get((READ, f"index{n}"), Counter()) == whole, (seed, index)
        assert torch.equal(result[0], before[torch_index])
        assert torch.equal(x, after)
        seen += 1
        if seen == cases:
            return


def elements_of(places, axis, index):
    """Where a gather along ``axis`` looks, element by element."""
    for at in np.ndindex(*index.shape):
        yield places[(*at[:axis], index[at], *at[axis + 1 :])]


@pytest.mark.parametrize("cases", [12, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:The reduce argument")
def test_gathers_and_scatters_touch_what_a_loop_touches(cases):
    rng = random.Random(0)
    for _ in range(cases):
        torch.manual_seed(rng.randrange(10**6))
        axes = rng.randint(1, 3)
        axis = rng.randrange(axes)
        x, places = some_view(rng, axes)
        source, source_places = some_view(rng, axes)
        shape = [min(a, b) for a, b in zip(x.shape, source.shape, strict=True)]
        index = torch.randint(x.shape[axis], [rng.randint(0, size) for size in shape])
        window = expected(source_places[tuple(slice(size) for size in index.shape)].ravel())
        looked_at = expected(elements_of(places, axis, index.numpy()))
        everything = expected(places.ravel())
        none = Counter()

        def found(program):
            seen = touched(program, x=x, source=source, index=index)
            assert seen.get((READ, "index"), Counter()) == Counter(range(8 * index.numel()))
            keys = (READ, "x"), (WRITE, "x"), (READ, "source")
            return [seen.get(key, Counter()) for key in keys]

        assert found(lambda: x.gather(axis, index)) == [looked_at, none, none]
        assert found(lambda: x.scatter_(axis, index, source)) == [none, looked_at, window]
        assert found(lambda: x.scatter_(axis, index, 2.0)) == [none, looked_at, none]
        assert found(lambda: x.scatter_(axis, index, source, reduce="add")) == [looked_at, looked_at, window]
        assert found(lambda: x.scatter_(axis, index, 2.0, reduce="multiply")) == [looked_at, looked_at, none]
        assert found(lambda: x.scatter_add_(axis, index, source)) == [looked_at, looked_at, window]
        for old in (True, False):  # whether what was there takes part
            args = axis, index, source, "amax"
            seen = found(lambda: x.scatter_reduce_(*args, include_self=old))
            assert seen == [looked_at if old else none, looked_at, window]
        if index.numel():
            assert found(lambda: x.scatter(axis, index, source)) == [everything, none, window]
            assert found(lambda: x.scatter_add(axis, index, source)) == [everything, none, window]


@pytest.mark.parametrize("cases", [12, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:index_reduce")
def test_masks_and_flat_or_one_axis_indices_touch_what_a_loop_touches(cases):
    rng = random.Random(0)
    for _ in range(cases):
        torch.manual_seed(rng.randrange(10**6))
        axes = rng.randint(1, 3)
        axis = rng.randrange(axes)
        x, places = some_view(rng, axes)
        mask = torch.rand([size if rng.random() < 0.7 else 1 for size in x.shape]) < 0.5
        wide = np.broadcast_to(mask.numpy(), x.shape)
        masked = expected(places[at] for at in np.ndindex(*x.shape) if wide[at])
        source, source_places = some_view(rng, 2)
        flat = torch.randint(-x.numel(), x.numel(), (3, 2))
        at_flat = expected(places.ravel()[i] for i in flat.ravel().tolist())
        rows = torch.randint(x.shape[axis], (3,))
        slices = expected(place for row in rows.tolist() for place in places.take(row, axis).ravel())
        rows_of = x.index_select(axis, rows)

        def found(program):
            seen = touched(program, x=x, source=source)
            return [seen.get(key, Counter()) for key in ((READ, "x"), (WRITE, "x"), (READ, "source"))]

        none = Counter()
        assert found(lambda: x.masked_select(mask)) == [masked, none, none]
        assert found(lambda: x.masked_fill_(mask, 1.0)) == [none, masked, none]
        if (count := int(wide.sum())) <= source.numel():
            first = expected(source_places.ravel()[:count])
            assert found(lambda: x.masked_scatter_(mask, source)) == [none, masked, first]
            assert found(lambda: x.masked_scatter(mask, source))[2] == first
        assert found(lambda: x.take(flat)) == [at_flat, none, none]
        assert found(lambda: x.put_(flat, torch.ones(3, 2))) == [none, at_flat, none]
        assert found(lambda: x.put_(flat, torch.ones(3, 2), accumulate=True)) == [at_flat, at_flat, none]
        assert found(lambda: x.index_select(axis, rows)) == [slices, none, none]
        assert found(lambda: x.index_fill_(axis, rows, 2.0)) == [none, slices, none]
        assert found(lambda: x.index_copy_(axis, rows, rows_of)) == [none, slices, none]
        assert found(lambda: x.index_add_(axis, rows, rows_of, alpha=2)) == [slices, slices, none]
        for old in (True, False):
            seen = found(lambda: x.index_reduce_(axis, rows, rows_of, "amax", include_self=old))
            assert seen == [slices if old else none, slices, none]
        at = rows % x.shape[0], torch.tensor(0)
        pieces = expected(place for row in at[0].tolist() for place in places.reshape(len(places), -1)[row, :1])
        if axes == 2:
            assert found(lambda: x.index_put_(at, torch.ones(3), accumulate=True)) == [pieces, pieces, none]


def test_a_tensor_without_axes_is_one_element():
    x, at = torch.tensor(3.0), torch.zeros(2, dtype=torch.int64)
    one, two = Counter(range(ITEM)), Counter([*range(ITEM)] * 2)
    assert touched(lambda: x[torch.tensor(True)], x=x)[READ, "x"] == one
    assert touched(lambda: x.gather(0, at), x=x)[READ, "x"] == two
    assert touched(lambda: x.take(at), x=x)[READ, "x"] == two
    assert touched(lambda: x.masked_fill_(at[0] == 0, 1.0), x=x, at=at)[WRITE, "x"] == one


def test_a_bag_of_embeddings_skips_its_padding():
    table, letters = torch.randn(5, 3), torch.tensor([1, 0, 4, 1])
    bags = {"offsets": torch.tensor([0, 2]), "padding_idx": 0}
    seen = touched(lambda: torch.nn.functional.embedding_bag(letters, table, **bags), table=table)
    assert seen[READ, "table"] == expected(3 * row + i for row in (1, 4, 1) for i in range(3))


@pytest.mark.parametrize("meter", [OperationCount, PeakMemory, DataMovement, ReuseDistance])
def test_every_traced_meter_reads_a_program_with_masks(meter):
    x = torch.randn(4, 5)
    with meter() as found:
        x[x > 0] *= 2
        y = x[x > 0]
        x[1:, None, torch.tensor([True, False, True, True, False])][:, :, [0, 2]] + y.sum()
    assert found.reading.value > 0


def test_bucketize_and_searchsorted_read_what_their_binary_searches_look_at():
    bounds, values = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), torch.tensor([0.5, 7.5])
    for search in (lambda: torch.bucketize(values, bounds), lambda: torch.searchsorted(bounds, values)):
        assert touched(search, bounds=bounds, values=values)[READ, "bounds"] == expected([3, 1, 0, 3, 5, 6])
