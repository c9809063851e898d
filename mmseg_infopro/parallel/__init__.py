"""Training on several processes, with or without GPUs: local modules in data parallel."""

from .agreement import on_all_processes, on_main_process
from .launching import (
    check_sync_batch_norm,
    choose_model_wrapper,
    init_distributed,
    process_group,
)
from .local_data_parallel import LocalDataParallel
from .module_parallel import ModuleParallel
from .pipeline_config import check_pipeline_config, is_module_parallel, load_same_samples
from .restarts import continues_training, note_training
from .stale_link import StaleLink

__all__ = [
    'LocalDataParallel',
    'ModuleParallel',
    'StaleLink',
    'check_pipeline_config',
    'check_sync_batch_norm',
    'choose_model_wrapper',
    'continues_training',
    'init_distributed',
    'is_module_parallel',
    'load_same_samples',
    'note_training',
    'on_all_processes',
    'on_main_process',
    'process_group',
]
