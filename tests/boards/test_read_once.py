import pytest

from sutrolib.boards.read_once import least_read_once_cost


@pytest.mark.parametrize(("n", "least"), [(2, 4), (4, 11), (6, 20)])
def test_the_least_cost_is_found_and_nothing_below_it(n, least):
    assert least_read_once_cost(n, least) == least
    assert least_read_once_cost(n, least - 1) is None


@pytest.mark.slow
def test_the_public_best_of_eight_bits_is_the_least_as_well():
    assert least_read_once_cost(8, 29) == 29


@pytest.mark.parametrize("n", [0, 3, 10])
def test_other_numbers_of_bits_are_refused(n):
    with pytest.raises(ValueError, match=f"even number from 2 to 8 .got {n}"):
        least_read_once_cost(n, 20)
