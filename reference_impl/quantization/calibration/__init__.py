"""The measured checks of the quantization labs, as functions of a seed.

Each measurement repeats what a grade cell measures, on inputs drawn with the seed, once for the
reference and once for the naive baseline that must not pass. `course calibrate` runs it.
"""

from collections.abc import Callable

from reference_impl.measured import Measured
from reference_impl.quantization.calibration.advanced import advanced_quantization
from reference_impl.quantization.calibration.mixed_precision import mixed_precision
from reference_impl.quantization.calibration.post_training import post_training_quantization
from reference_impl.quantization.calibration.quantization_aware import quantization_aware_training

MEASUREMENTS: dict[str, Callable[[int], Measured]] = {
    "Lab-3.1-Post_Training_Quantization": post_training_quantization,
    "Lab-3.2-Quantization_Aware_Training": quantization_aware_training,
    "Lab-3.3-Advanced_Quantization": advanced_quantization,
    "Lab-3.4-Mixed_Precision_Optimization": mixed_precision,
}
