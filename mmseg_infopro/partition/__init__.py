"""Where to cut: settings, measurements on fake tensors, planning, and ``resolve``."""

from .choosing import choose_boundaries
from .config_step import (
    build_end_to_end,
    build_model,
    config_peak,
    cuda_config_step,
    dry_config_step,
    step_shape,
    training_pipeline,
)
from .feature_flow import auxiliary_heads, trace_feature_flow
from .grouping import GROUP_SIZES, group_ends
from .measuring import StepShape, measure_step, training_batch
from .planning import StepBytes, UnitBytes, module_peaks, plan_boundaries
from .resolve import resolve, set_partition
from .settings import PARTITION_KEYS, LocalSettings, default_heads, read_local_settings

__all__ = [
    'GROUP_SIZES',
    'PARTITION_KEYS',
    'LocalSettings',
    'StepBytes',
    'StepShape',
    'UnitBytes',
    'auxiliary_heads',
    'build_end_to_end',
    'build_model',
    'choose_boundaries',
    'config_peak',
    'cuda_config_step',
    'default_heads',
    'dry_config_step',
    'group_ends',
    'measure_step',
    'module_peaks',
    'plan_boundaries',
    'read_local_settings',
    'resolve',
    'set_partition',
    'step_shape',
    'trace_feature_flow',
    'training_batch',
    'training_pipeline',
]
