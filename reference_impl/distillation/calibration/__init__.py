"""The measured checks of the distillation labs, as functions of a seed.

Each measurement repeats what a grade cell measures, on inputs drawn with the seed, once for the
reference and once for the naive baseline that must not pass. `course calibrate` runs it.
"""

from collections.abc import Callable

from reference_impl.distillation.calibration.response import response_distillation
from reference_impl.measured import Measured

MEASUREMENTS: dict[str, Callable[[int], Measured]] = {
    "Lab-3.9-Response_Distillation": response_distillation,
}
