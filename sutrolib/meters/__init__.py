"""GREEN axis: what a run costs. Meters import no model and no process, so a search cannot change how it is measured."""

from sutrolib.meters.access.average_reuse_distance import ReuseDistance as ReuseDistance
from sutrolib.meters.access.cache_energy import CacheEnergy as CacheEnergy
from sutrolib.meters.access.reuse_distance import DataMovement as DataMovement
from sutrolib.meters.access.trace import OperationCount as OperationCount
from sutrolib.meters.access.trace import PeakMemory as PeakMemory
from sutrolib.meters.access.trace import TorchTrace as TorchTrace
from sutrolib.meters.base import Availability as Availability
from sutrolib.meters.base import Kind as Kind
from sutrolib.meters.base import Meter as Meter
from sutrolib.meters.base import NoReading as NoReading
from sutrolib.meters.base import Reading as Reading
from sutrolib.meters.energy.codecarbon import CodeCarbon as CodeCarbon
from sutrolib.meters.energy.joules import Joules as Joules
from sutrolib.meters.energy.wall_time import WallTime as WallTime
from sutrolib.meters.programs.bytedmd import bytedmd as bytedmd
from sutrolib.meters.programs.bytedmd import traced_eval as traced_eval
from sutrolib.meters.programs.grid_cost import GridCost as GridCost
from sutrolib.meters.programs.write_stack import WriteStackMovement as WriteStackMovement

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
