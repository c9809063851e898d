from .atomic_backend import AtomicBackend
from .first_step_check_hook import FirstStepCheckHook
from .partial_gradients_hook import PartialGradientsHook
from .progress_hook import ProgressHook
from .rng_state_hook import RNGStateHook

__all__ = [
    'AtomicBackend',
    'FirstStepCheckHook',
    'PartialGradientsHook',
    'ProgressHook',
    'RNGStateHook',
]
