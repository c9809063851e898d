"""Hooks: exact resumes, checks, memory, progress."""

from .atomic_backend import AtomicBackend
from .first_step_check_hook import FirstStepCheckHook
from .memory_hook import MemoryHook
from .method_hook import MethodHook
from .out_of_memory import explained_out_of_memory
from .partial_gradients_hook import PartialGradientsHook
from .pictures_hook import PicturesHook
from .progress_hook import ProgressHook
from .rng_state_hook import RNGStateHook

__all__ = [
    'AtomicBackend',
    'FirstStepCheckHook',
    'MemoryHook',
    'MethodHook',
    'PartialGradientsHook',
    'PicturesHook',
    'ProgressHook',
    'RNGStateHook',
    'explained_out_of_memory',
]
