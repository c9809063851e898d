"""Training on several processes, with or without GPUs: local modules in data parallel."""

from .launching import (
    check_sync_batch_norm,
    choose_model_wrapper,
    cpu_process_group,
    init_cpu_distributed,
)
from .local_data_parallel import LocalDataParallel

__all__ = [
    'LocalDataParallel',
    'check_sync_batch_norm',
    'choose_model_wrapper',
    'cpu_process_group',
    'init_cpu_distributed',
]
