"""Hooks: exact resumes, checks, memory, progress."""

from .atomic_backend import AtomicBackend
from .first_step_check_hook import FirstStepCheckHook
from .made_up_validation_hook import MadeUpValidationHook
from .memory_hook import MemoryHook
from .method_hook import MethodHook
from .non_finite_hook import NonFiniteHook
from .out_of_memory import explained_out_of_memory
from .partial_gradients_hook import PartialGradientsHook
from .pictures_hook import PicturesHook
from .pipeline_info_hook import PipelineInfoHook
from .pipeline_state import whole_state
from .progress_hook import ProgressHook
from .rng_state_hook import RNGStateHook
from .stop_hook import StopHook
from .stopping import signals_noted
from .thaw_hook import ThawHook
from .whole_checkpoint_hook import WholeCheckpointHook

__all__ = [
    'AtomicBackend',
    'FirstStepCheckHook',
    'MadeUpValidationHook',
    'MemoryHook',
    'MethodHook',
    'NonFiniteHook',
    'PartialGradientsHook',
    'PicturesHook',
    'PipelineInfoHook',
    'ProgressHook',
    'RNGStateHook',
    'StopHook',
    'ThawHook',
    'WholeCheckpointHook',
    'explained_out_of_memory',
    'signals_noted',
    'whole_state',
]
