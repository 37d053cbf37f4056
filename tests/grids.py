"""The cost of a program on the grid, for programs whose result is known."""

from sutrolib.meters.programs.grid_cost import GridCost


def checked_grid_cost(program, arguments, expected):
    """The cost of a program that must compute ``expected`` from ``arguments``."""
    with GridCost() as meter:
        assert meter.run(program, arguments) == list(expected)
    return meter.reading.value
