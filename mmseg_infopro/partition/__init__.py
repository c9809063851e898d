"""Where to cut: settings, measurements on fake tensors, planning, and ``resolve``."""

from .capping import (
    Fit,
    NothingFitsError,
    describe_peak,
    fit_cap,
    measure_config,
    plan_fits,
    set_fit,
)
from .choosing import choose_boundaries
from .config_step import (
    FailedStepError,
    build_end_to_end,
    build_model,
    config_peak,
    dry_config_step,
    set_partition,
    step_shape,
    training_pipeline,
)
from .feature_flow import auxiliary_heads, neck_and_heads, trace_feature_flow
from .grouping import RecomputeGroup, module_groups
from .measuring import measure_step
from .planning import StepBytes, UnitBytes, module_peaks, plan_boundaries
from .resolve import enforce_cap, resolve
from .separable import SEPARABLE
from .settings import (
    CONTEXT_MARGIN,
    DEFAULT_MARGIN,
    PARTITION_KEYS,
    RECOMPUTE,
    LocalSettings,
    default_heads,
    read_local_settings,
)
from .step_shape import StepShape, training_batch

__all__ = [
    'CONTEXT_MARGIN',
    'DEFAULT_MARGIN',
    'PARTITION_KEYS',
    'RECOMPUTE',
    'SEPARABLE',
    'FailedStepError',
    'Fit',
    'LocalSettings',
    'NothingFitsError',
    'RecomputeGroup',
    'StepBytes',
    'StepShape',
    'UnitBytes',
    'auxiliary_heads',
    'build_end_to_end',
    'build_model',
    'choose_boundaries',
    'config_peak',
    'default_heads',
    'describe_peak',
    'dry_config_step',
    'enforce_cap',
    'fit_cap',
    'measure_config',
    'measure_step',
    'module_groups',
    'module_peaks',
    'neck_and_heads',
    'plan_boundaries',
    'plan_fits',
    'read_local_settings',
    'resolve',
    'set_fit',
    'set_partition',
    'step_shape',
    'trace_feature_flow',
    'training_batch',
    'training_pipeline',
]
