"""GREEN axis: what a run costs. Meters import no model and no process: the scale is out of the search's reach."""

from sutrolib.meters.access.average_reuse_distance import ReuseDistance
from sutrolib.meters.access.cache_energy import CacheEnergy
from sutrolib.meters.access.counts import OperationCount, PeakMemory
from sutrolib.meters.access.reuse_distance import DataMovement
from sutrolib.meters.access.trace import TorchTrace
from sutrolib.meters.base import Availability, Kind, Meter, NoReading, Reading
from sutrolib.meters.energy.codecarbon import CodeCarbon
from sutrolib.meters.energy.joules import Joules
from sutrolib.meters.energy.wall_time import WallTime
from sutrolib.meters.programs.bytedmd import bytedmd, traced_eval
from sutrolib.meters.programs.grid_cost import GridCost
from sutrolib.meters.programs.write_stack import WriteStackMovement

__all__ = [
    "METERS",
    "Availability",
    "CacheEnergy",
    "CodeCarbon",
    "DataMovement",
    "GridCost",
    "Joules",
    "Kind",
    "Meter",
    "NoReading",
    "OperationCount",
    "PeakMemory",
    "Reading",
    "ReuseDistance",
    "TorchTrace",
    "WallTime",
    "WriteStackMovement",
    "bytedmd",
    "traced_eval",
]

METERS: tuple[type[Meter], ...] = (
    WallTime,
    OperationCount,
    ReuseDistance,
    PeakMemory,
    DataMovement,
    CacheEnergy,
    CodeCarbon,
    Joules,
)
