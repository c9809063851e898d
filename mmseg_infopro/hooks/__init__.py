from .atomic_backend import AtomicBackend
from .progress_hook import ProgressHook
from .rng_state_hook import RNGStateHook

__all__ = ['AtomicBackend', 'ProgressHook', 'RNGStateHook']
