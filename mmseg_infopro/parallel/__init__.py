"""Training on several processes, with or without GPUs: local modules in data parallel."""

from .agreement import on_all_processes, on_main_process
from .launching import (
    check_sync_batch_norm,
    choose_model_wrapper,
    init_distributed,
    process_group,
)
from .local_data_parallel import LocalDataParallel

__all__ = [
    'LocalDataParallel',
    'check_sync_batch_norm',
    'choose_model_wrapper',
    'init_distributed',
    'on_all_processes',
    'on_main_process',
    'process_group',
]
