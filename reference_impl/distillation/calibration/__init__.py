"""The measured checks of the distillation labs, as functions of a seed.

Each measurement repeats what a grade cell measures, on inputs drawn with the seed, once for the
reference and once for the naive baseline that must not pass. `course calibrate` runs it.
"""

from collections.abc import Callable

from reference_impl.distillation.calibration.cohorts import multi_teacher_distillation
from reference_impl.distillation.calibration.features import feature_distillation
from reference_impl.distillation.calibration.progressive import progressive_distillation
from reference_impl.distillation.calibration.response import response_distillation
from reference_impl.measured import Measured

MEASUREMENTS: dict[str, Callable[[int], Measured]] = {
    "Lab-3.9-Response_Distillation": response_distillation,
    "Lab-3.10-Feature_Distillation": feature_distillation,
    "Lab-3.11-Progressive_Distillation": progressive_distillation,
    "Lab-3.12-Multi_Teacher_Distillation": multi_teacher_distillation,
}
