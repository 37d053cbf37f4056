"""GREEN axis: what a run costs. Meters import no model and no process: the scale is out of the search's reach."""

from sutrolib.meters.ard import ReuseDistance
from sutrolib.meters.base import Availability, Kind, Meter, NoReading, Reading
from sutrolib.meters.carbon import CodeCarbon
from sutrolib.meters.clock import WallTime
from sutrolib.meters.counters import Joules
from sutrolib.meters.counts import OperationCount, PeakMemory
from sutrolib.meters.grid import GridCost
from sutrolib.meters.hardware import CacheEnergy
from sutrolib.meters.movement import WriteStackMovement
from sutrolib.meters.reuse import DataMovement
from sutrolib.meters.scalar import bytedmd, traced_eval
from sutrolib.meters.trace import TorchTrace

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
