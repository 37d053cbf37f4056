"""ByteDMD: the vectors of its public description and tests (github.com/cybertronai/ByteDMD), and every escape."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scalar_programs import naive_depths, naive_product_depths, noted_depths, random_program

import sutrolib.bytedmd
from sutrolib.bytedmd import format_ir, inspect_ir, trace_to_bytedmd
from sutrolib.meters import bytedmd, traced_eval
from sutrolib.meters.access.lru_stack import NO_RESULT, instruction_depths
from sutrolib.meters.programs.bytecode_check import UntraceableOperation
from sutrolib.models.kernels.matmul import matrix_product, rows_times_vector, vector_times_columns


def depths(func, *args):
    return traced_eval(func, args)[0]


def test_a_sum_of_three():
    def func(a, b, c):
        return (a + b) + c

    assert traced_eval(func, (1, 2, 3)) == ([1, 2, 1, 2], 6)
    assert bytedmd(func, (1, 2, 3)) == 6
    assert bytedmd(func, (1, 2, 3), 2) == 14


def test_a_repeated_operand_is_charged_each_time_against_the_stack_before():
    assert depths(lambda a: a + a, 1) == [1, 1]


def test_results_are_pushed_and_comparisons_push_too():
    def func(a, b, c, d):
        e = b + c
        f = a + d
        return e > f

    assert traced_eval(func, (1, 2, 3, 4)) == ([2, 3, 2, 3, 2, 1], False)
    assert bytedmd(func, (1, 2, 3, 4)) == 11


def test_a_product_of_vectors_and_the_same_with_sum_over_zip():
    assert depths(lambda a, b: a[0] * b[0] + a[1] * b[1], [1, 2], [3, 4]) == [2, 4, 2, 3, 2, 1]
    assert bytedmd(lambda a, b: a[0] * b[0] + a[1] * b[1], ([1, 2], [3, 4])) == 11
    assert bytedmd(lambda a, b: sum(x * y for x, y in zip(a, b, strict=True)), ([1, 2], [3, 4])) == 12


def test_a_branch_reads_the_comparison():
    def func(a):
        if a > 0:
            return a * 2
        return a

    assert depths(func, 3) == [1, 1, 1]


def test_divmod_pushes_two():
    def func(a, b):
        q, r = divmod(a, b)
        return q + r + a

    assert traced_eval(func, (7, 3)) == ([1, 2, 2, 1, 1, 2], 10)
    assert depths(lambda a: divmod(7, a), 2) == [1]


@pytest.mark.parametrize(
    ("program", "costs"),
    [(rows_times_vector, [26, 75, 157, 270, 422, 615, 896]), (vector_times_columns, [25, 72, 150, 258, 397, 572, 832])],
)
def test_a_matrix_times_a_vector(program, costs):
    assert [bytedmd(program, (np.ones((n, n)), np.ones(n))) for n in range(2, 9)] == costs


@pytest.mark.parametrize(("n", "cost"), [(2, 57), (4, 720), (8, 8867), (16, 109_783)])
def test_the_naive_matrix_product(n, cost):
    assert bytedmd(matrix_product, (np.ones((n, n)), np.ones((n, n)))) == cost


def test_the_product_is_priced_as_on_a_list_that_is_searched():
    A = np.ones((6, 6)).tolist()
    assert traced_eval(matrix_product, (A, A[:]))[0] != []  # A twice: one set of values
    assert depths(matrix_product, A, [row[:] for row in A]) == naive_product_depths(6)


@given(st.data())
def test_any_program_is_priced_as_on_a_list_that_is_searched(data):
    values = data.draw(st.integers(1, 6))
    loaded, program = list(range(values)), []
    for _ in range(data.draw(st.integers(0, 30))):
        reads = data.draw(st.lists(st.integers(0, values - 1), min_size=1, max_size=3))
        pushes = data.draw(st.integers(0, 2))
        program.append((reads, list(range(values, values + pushes))))
        values += pushes
    results = data.draw(st.lists(st.integers(0, values - 1), max_size=3, unique=True))
    events = [event for reads, pushes in program for event in [*reads, *([-1 - p for p in pushes] or [NO_RESULT])]]
    value = np.array(events, dtype=np.int64)
    last = np.full(values, -1, np.int64)
    for event, number in enumerate(value):
        if number >= 0:
            last[number] = event
    last[results] = len(events)
    found = instruction_depths(value, last, np.array(loaded))[value >= 0]
    assert found.tolist() == naive_depths(program, loaded, results)


def plainly(value):
    """A result that can be compared: arrays as lists."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def test_random_programs_are_priced_by_the_documented_rules():
    read = 0
    for seed in range(400):
        program, arguments = random_program(seed), ([3, 1, 4, 1], [[5, 9], [2, 6]], 7)
        found, result = traced_eval(program, traced := copy.deepcopy(arguments))
        assert found == noted_depths(program, copy.deepcopy(arguments)), f"seed {seed}"
        assert plainly(result) == plainly(program(*(plain := copy.deepcopy(arguments))))
        assert traced == plain
        read += len(found)
    assert read > 4000


def histogram(values, counts):
    for value in values:
        counts[value] = counts[value] + 1
    return counts


def double_in_place(A):
    for i in range(3):
        A[i] = A[i] * 2
    return A[0] + 1


def store_by_key(a, b):
    table = {}
    table[a] = b  # hashes a
    table[a] = b + 1  # reads b, hashes a; the same key, so it is not compared
    table[b] = a  # hashes b; if the hashes are equal, reads a and b, and decides by the result
    return table


def store_in_an_array(A, i):
    A[i] = 5.0
    A[i:3] = 6.0
    return A


@pytest.mark.parametrize(
    ("func", "args", "cost", "result"),
    [
        (histogram, ([0, 1, 1], [0, 0]), 19, [1, 2]),
        (double_in_place, ([1, 2, 3],), 7, 3),
        (lambda a, b: {"s": a + b, "p": a * b}, (1, 2), 6, {"s": 3, "p": 2}),
        (lambda a, b: [a + b, a * b], (1, 2), 7, [3, 2]),
        (lambda a, b: ([(a + b,)], a * b), (1, 2), 7, ([(3,)], 2)),
        (lambda a, b: [{"s": a + b}, a * b], (1, 2), 6, [{"s": 3}, 2]),
        (lambda a, b: {a + b, a * b}, (1, 2), 10, {2, 3}),  # as in a list, and hashing at depths 2 and 1
        (lambda a, b, m: pow(a, b, m), (2, 5, 3), 5, 2),
        (lambda a, m: pow(a, 5, m), (2, 3), 3, 2),
        (lambda a, digits: round(a, digits), (2.345, 1), 3, 2.3),
        (store_by_key, (1, 2), 6, {1: 3, 2: 1}),
        (store_by_key, (2, 2), 11, {2: 2}),
    ],
)
def test_stores_results_and_operators_of_three(func, args, cost, result):
    assert bytedmd(func, copy.deepcopy(args)) == cost
    assert traced_eval(func, args)[1] == result


def test_an_index_of_a_store_in_an_array_is_a_read():
    trace, result = traced_eval(store_in_an_array, (np.zeros(4), 1))
    assert (trace, result.tolist()) == ([3, 1], [0, 6, 6, 0])  # two elements that are returned lie above i


def test_what_is_passed_comes_back_as_the_program_leaves_it():
    def swap(A, table, a):
        A[0], A[1] = A[1], A[0]
        table[a] = A[0]

    A, table = np.array([1.0, 2.0]), {}
    assert traced_eval(swap, (A, table, 3)) == ([1], None)
    assert (A.tolist(), table) == ([2, 1], {3: 2})
    assert all(type(key) is int for key in table)


@pytest.mark.parametrize("value", [{1, 2}, range(3), b"ab", [{1}]])
def test_an_argument_that_hides_its_numbers_is_refused(value):
    with pytest.raises(TypeError, match=r"numbers, lists, tuples, dicts or arrays \(got (set|range|bytes)\)"):
        bytedmd(lambda xs: sum(xs), (value,))


PUBLIC_LISTING = """\
STORE v1
STORE v2
STORE v3
STORE v4
STORE v5
STORE v6
  READ v3@4  cost=2
  READ v1@6  cost=3
OP    mul(v3@4, v1@6)  cost=5
STORE v7
  READ v4@5  cost=3
  READ v2@6  cost=3
OP    mul(v4@5, v2@6)  cost=6
STORE v8
  READ v7@3  cost=2
  READ v8@1  cost=1
OP    add(v7@3, v8@1)  cost=3
STORE v9
  READ v5@5  cost=3
  READ v1@3  cost=2
OP    mul(v5@5, v1@3)  cost=5
STORE v10
  READ v6@4  cost=2
  READ v2@3  cost=2
OP    mul(v6@4, v2@3)  cost=4
STORE v11
  READ v10@2  cost=2
  READ v11@1  cost=1
OP    add(v10@2, v11@1)  cost=3
STORE v12
# total cost = 26"""


def test_the_events_are_those_of_the_public_description():
    def product(A, x):
        return [A[0][0] * x[0] + A[0][1] * x[1], A[1][0] * x[0] + A[1][1] * x[1]]

    assert format_ir(inspect_ir(product, ([[1, 2], [3, 4]], [5, 6]))) == PUBLIC_LISTING


def test_events_of_a_branch_and_of_two_results():
    def func(a, b):
        return divmod(a, b) if a > b else None

    ir = inspect_ir(func, (7, 3))
    assert ir == [
        *[("STORE", 1), ("STORE", 2)],
        *[("READ", 2, 1), ("READ", 1, 2), ("OP", "gt", [2, 1], [1, 2], 3), ("STORE", 3)],
        ("READ", 3, 1),
        *[("READ", 2, 2), ("READ", 1, 1), ("OP", "divmod", [2, 1], [2, 1], None), ("STORE", 4), ("STORE", 5)],
    ]
    assert format_ir(ir).endswith(f"# total cost = {bytedmd(func, (7, 3))}")  # with the branch's read
    assert format_ir([]) == "# total cost = 0"


def test_a_trace_is_priced_on_its_own():
    assert trace_to_bytedmd([1, 2, 1, 2], 1) == trace_to_bytedmd([1, 2, 1, 2]) == 6
    assert trace_to_bytedmd([1, 2, 1, 2], bytes_per_element=2) == 14
    assert trace_to_bytedmd([]) == 0
    assert sutrolib.bytedmd.bytedmd is bytedmd
    for trace in ([0, 1], [1.5], ["a"]):
        with pytest.raises(ValueError, match="must hold depths, whole numbers from 1"):
            trace_to_bytedmd(trace)


@given(st.integers(1, 200), st.integers(1, 9))
def test_a_value_of_several_bytes_is_that_many_bytes_in_a_row(depth, size):
    cost = bytedmd(lambda xs: xs[0] + 0, ([*range(depth)][::-1],), size)
    assert cost == sum(math.ceil(math.sqrt(d)) for d in range(1, size + 1))  # the others are never read
    everything = bytedmd(lambda *xs: [xs[-1] + 0, *xs], tuple(range(depth)), size)
    expected = sum(math.ceil(math.sqrt(d)) for d in range((depth - 1) * size + 1, depth * size + 1))
    assert everything == expected


def test_values_that_are_never_read_are_not_there_and_results_stay():
    assert traced_eval(lambda xs, i: xs[i], ([10, 20, 30], 1)) == ([2], 20)
    assert depths(lambda a: 10 - a * 10, 1) == [1, 1]


def test_moving_values_about_is_free():
    assert traced_eval(lambda A: [list(row) for row in zip(*A, strict=True)], ([[1, 2], [3, 4]],)) == (
        [],
        [[1, 3], [2, 4]],
    )
    assert bytedmd(lambda a: a, (1,)) == 0


@pytest.mark.parametrize(
    ("func", "args", "trace", "result"),
    [
        (lambda a, b: a and b, (0, 5), [1], 0),
        (lambda a: not a, (3,), [1], False),
        (lambda n: len(range(n)), (4,), [1], 4),
        (lambda a: (int(a), float(a), complex(a)), (2,), [1, 1, 1], (2, 2.0, 2 + 0j)),
        (lambda a: {a: 1}, (2,), [1], {2: 1}),
        (lambda a: f"{a:.1f} {a} {a!r}", (2.0,), [1, 1, 1], "2.0 2.0 2.0"),
        (lambda a: math.floor(a) + math.ceil(a) + math.trunc(a), (2.5,), None, 7),
        (lambda a: round(a) + 1, (2.6,), [1, 1], 4),
        (lambda a: -abs(+a), (-2,), [1, 1, 1], -2),
        (lambda a, b: [a < b, a == b, a != b], (1, 2), None, [True, False, True]),
        (lambda a: 2**a, (3,), [1], 8),
        (lambda a: math.sqrt(a), (4.0,), [1], 2.0),
    ],
)
def test_what_escapes_as_a_read_is_traced(func, args, trace, result):
    found = traced_eval(func, args)
    assert found[1] == result
    assert found[0] == trace if trace is not None else len(found[0]) > 2


def test_floor_ceil_and_round_give_results_that_are_tracked():
    assert depths(lambda a: math.floor(a) * 2, 2.5) == [1, 1]


def test_an_operation_that_raises_has_read_its_inputs():
    def func(a, b):
        try:
            return a / b
        except ZeroDivisionError:
            return a

    assert traced_eval(func, (1, 0)) == ([1, 2], 1)
    with pytest.raises(ZeroDivisionError):
        traced_eval(lambda a: 1 / a, (0,))
    with pytest.raises(TypeError):
        traced_eval(lambda a: a + "x", (0,))


def test_what_is_stored_in_the_arguments_comes_back_plain():
    def func(a, out, table):
        out[0] = a + 1
        table["x"] = a * 2
        return None

    numbers, table, matrix = [0, 7], {}, np.zeros((2, 2))
    assert traced_eval(func, (5, numbers, table)) == ([1, 1], None)
    assert (numbers, table) == ([6, 7], {"x": 10})
    assert all(type(item) is int for item in numbers)

    def fill(a, m):
        m[1][0] = a + 1
        m[0, 1] = a * 2

    traced_eval(fill, (3.0, matrix))
    assert matrix.tolist() == [[0, 6], [4, 0]]


def test_nested_lists_come_back_as_the_same_lists():
    row = [1, 2]
    matrix = [row, row]
    traced_eval(lambda m: m[0].append(m[0][0] + m[1][1]), (matrix,))
    assert matrix[0] is matrix[1] is row
    assert row == [1, 2, 3]


def test_arrays_work_as_arrays():
    A, x = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    trace, y = traced_eval(lambda A, x: A @ x, (A, x))
    assert y.tolist() == (A @ x).tolist()
    assert len(trace) == 2 * (3 * 2 + 2 * 2)  # for each row three products and two sums, of two reads each
    assert traced_eval(lambda A: (A * 2 + A).sum(), (A,))[1] == 45
    assert traced_eval(lambda A, s: (A * s)[1, 2] + (s * A)[0, 1], (A, 2.0))[1] == 12
    assert traced_eval(lambda A: len(A) + A.shape[1], (A,)) == ([], 5)


def swallow(a, b):
    try:
        return np.ones(2) * a
    except ValueError:
        return b


def stores(a):
    local = np.zeros(3)
    local[0] = a
    return local


def makes(a):
    return np.array([a, a], dtype=float)


def helper(a):
    return type(a)


@pytest.mark.parametrize(
    ("func", "args", "named"),
    [
        (lambda a, b: a is b, (1, 2), "an identity test"),
        (lambda a, b: a is not b, (1, 2), "an identity test"),
        (lambda a: isinstance(a, int), (1,), "type test with isinstance"),
        (lambda a: id(a), (1,), "type test with id"),
        (lambda a: helper(a), (1,), "helper, line .*type test with type"),
        (lambda a: a.__class__, (1,), "access to __class__"),
        (lambda a: a._value, (1,), "access to _value"),
        (stores, (1.0,), "stored in a NumPy array"),
        (makes, (1.0,), "NumPy array made by array"),
        (lambda a: np.ones(2) * a, (1.0,), "tracked value meets a NumPy array"),
        (lambda a: a * np.ones(2), (1.0,), "tracked value meets a NumPy array"),
        (lambda a: a + np.ones(2), (np.ones(2),), "tracked values meet a NumPy array"),
        (swallow, (1.0, 2.0), "tracked value meets a NumPy array"),
        (lambda a: a.astype(float), (np.ones(2),), "made by astype"),
        (lambda i: [3, 1, 4, 1, 5][i], (1,), "list of numbers written"),
        (lambda i: ([10] * 1000)[i], (1,), "list of numbers written"),
        (lambda i: (3, 1, 4, 1, 5)[i], (1,), "list of numbers written"),
        (lambda a: copy.deepcopy(a), (1,), "copy.deepcopy|pickling"),
        (lambda a: pickle.dumps(a), (1,), "pickling"),
    ],
)
def test_what_cannot_be_seen_is_refused_and_not_swallowed(func, args, named):
    with pytest.raises(UntraceableOperation, match=named):
        traced_eval(func, args)


def test_what_is_not_data_is_not_refused():
    def func(a, n):
        local = [0] * 3 + [None]
        local[0] = a
        grid = np.empty((2, 3), dtype=object)
        for i in range(2, n):
            local[i % 3] = a * 2
        return local[0] if local[3] is None else grid

    assert traced_eval(func, (1, 5))[1] == 2


@pytest.mark.parametrize("size", [0, -1, 1.5, True])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match="bytes_per_element"):
        bytedmd(lambda a: a + a, (1,), size)
    with pytest.raises(TypeError, match=r"func must be a function \(got 3\)"):
        bytedmd(3, (1,))
