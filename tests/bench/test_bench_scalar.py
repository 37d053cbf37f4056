"""The scalar tracer against a list-based one on the naive matrix product: time a read, and how it grows."""

import time
from statistics import median

from scalar_programs import naive_product_depths

from sutrolib.meters import traced_eval
from sutrolib.models.kernels.matmul import matrix_product

ROUNDS = 3


def timed(work):
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def matrices(n):
    return tuple([[1.0] * n for _ in range(n)] for _ in range(2))


def test_tracing_and_pricing_against_a_list_that_is_searched():
    traced_eval(matrix_product, matrices(2))  # compiles
    print("\nnaive matrix product; microseconds a read, median of", ROUNDS)
    print("    N     reads   ours   list-based   ratio")
    for n in (8, 16, 24, 32):
        ours, listed = [], []
        for _ in range(ROUNDS):
            seconds, (depths, _) = timed(lambda n=n: traced_eval(matrix_product, matrices(n)))
            ours.append(seconds)
            seconds, expected = timed(lambda n=n: naive_product_depths(n))
            listed.append(seconds)
            assert depths == expected
        one, other = (1e6 * median(times) / len(depths) for times in (ours, listed))
        print(f"  {n:3} {len(depths):9,} {one:6.2f} {other:12.1f} {other / one:7.0f}")
    for n in (48, 64):
        seconds, (depths, _) = timed(lambda n=n: traced_eval(matrix_product, matrices(n)))
        print(f"  {n:3} {len(depths):9,} {1e6 * seconds / len(depths):6.2f}   {seconds:.2f} s in all")
