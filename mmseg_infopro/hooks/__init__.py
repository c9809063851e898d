from .atomic_backend import AtomicBackend
from .rng_state_hook import RNGStateHook

__all__ = ['AtomicBackend', 'RNGStateHook']
