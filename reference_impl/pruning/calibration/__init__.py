"""The measured checks of the pruning labs, as functions of a seed.

Each measurement repeats what a grade cell measures, on inputs drawn with the seed, once for the
reference and once for the naive baseline that must not pass. `course calibrate` runs it.
"""

from collections.abc import Callable

from reference_impl.measured import Measured
from reference_impl.pruning.calibration.gradient import gradient_pruning
from reference_impl.pruning.calibration.magnitude import magnitude_pruning
from reference_impl.pruning.calibration.search import supernet_search
from reference_impl.pruning.calibration.structured import structured_pruning

MEASUREMENTS: dict[str, Callable[[int], Measured]] = {
    "Lab-3.5-Magnitude_Pruning": magnitude_pruning,
    "Lab-3.6-Structured_Pruning": structured_pruning,
    "Lab-3.7-Gradient_Pruning": gradient_pruning,
    "Lab-3.8-NAS_Pruning": supernet_search,
}
