"""What several processes need before the Runner exists: their group, and the model's wrapper."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist
from mmengine.logging import print_log
from mmengine.registry import MODEL_WRAPPERS
from mmengine.utils.dl_utils import set_multi_processing

from ..config.walk import SYNCHRONIZED, type_name, walk
from .local_data_parallel import LocalDataParallel
from .pipeline_config import is_module_parallel, pipeline_wrapper
from .restarts import rendezvous_of_attempt
from .watch import ends_at_once

RANK_NAMES = {
    'pytorch': {'RANK': 'RANK', 'WORLD_SIZE': 'WORLD_SIZE', 'LOCAL_RANK': 'LOCAL_RANK'},
    'slurm': {
        'RANK': 'SLURM_PROCID',
        'WORLD_SIZE': 'SLURM_NTASKS',
        'LOCAL_RANK': 'SLURM_LOCALID',
    },
    'mpi': {
        'RANK': 'OMPI_COMM_WORLD_RANK',
        'WORLD_SIZE': 'OMPI_COMM_WORLD_SIZE',
        'LOCAL_RANK': 'OMPI_COMM_WORLD_LOCAL_RANK',
    },
}
"""For each launcher, where it says what torch reads from the environment."""


def init_distributed(launcher: str, env_cfg: Mapping[str, Any] | None = None) -> bool:
    """Open the process group of a job, as a Runner would, which then leaves that alone.

    mmengine's ``init_dist`` selects a CUDA device first, which raises where there is none: without
    an accelerator the group is a gloo one, opened here.

    Args:
        launcher: ``none``, ``pytorch`` (torchrun), ``slurm`` or ``mpi``.
        env_cfg: The config's.

    Returns:
        Whether a group was opened.

    Raises:
        ValueError: The launcher did not start this process.
    """
    if launcher == 'none' or dist.is_initialized():
        return False
    names = RANK_NAMES[launcher]
    missing = [name for name in names.values() if name not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher} needs a process that it started, but {", ".join(missing)} '
            'are not in the environment; use tools/dist_train.sh, tools/dist_test.sh or '
            'tools/slurm_train.sh'
        )
    if get_device() != 'cpu':
        env_cfg = env_cfg or {}
        # First, as in Runner.setup_env: init_dist would choose another way to start processes.
        set_multi_processing(**env_cfg.get('mp_cfg', {}), distributed=True)
        with _port_is_named():
            dist_cfg = env_cfg.get('dist_cfg', {})
            own = {} if 'init_method' in dist_cfg else _own_rendezvous(launcher)
            init_dist(launcher, **{**own, **dist_cfg})
        return True
    os.environ.update({name: os.environ[source] for name, source in names.items()})
    if 'MASTER_ADDR' not in os.environ and launcher == 'slurm':
        os.environ['MASTER_ADDR'] = _first_slurm_node(os.environ.get('SLURM_NODELIST', ''))
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', '29500')
    with _port_is_named():
        dist.init_process_group('gloo', **_own_rendezvous(launcher))
    return True


def _own_rendezvous(launcher: str) -> dict[str, Any]:
    return rendezvous_of_attempt() if launcher == 'pytorch' else {}


@contextmanager
def _port_is_named() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if 'EADDRINUSE' not in str(error) and 'address already in use' not in str(error):
            raise
        raise ValueError(
            f'port {os.environ.get("MASTER_PORT")} is in use on {os.environ.get("MASTER_ADDR")}, '
            'perhaps by another job: set MASTER_PORT to a free one'
        ) from error


@contextmanager
def process_group(launcher: str, env_cfg: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Open the group of :func:`init_distributed`, if there is to be one, and close it.

    A gloo thread that needs the interpreter while it shuts down aborts the process. So all ranks
    wait for each other, and what holds the group is dropped before the end. A group of GPUs ends
    with its process: after an error, closing it would wait for kernels that wait for other ranks;
    so would that of a pipeline.
    """
    closes = init_distributed(launcher, env_cfg) and dist.get_backend() == 'gloo'
    try:
        yield
        if closes:
            dist.barrier()
    except BaseException as error:
        closes = closes and not ends_at_once(error)
        raise
    finally:
        if closes:
            gc.collect()
            dist.destroy_process_group()


def choose_model_wrapper(cfg: Config, launcher: str) -> None:
    """Set ``cfg.model_wrapper_cfg`` for a job of several processes, unless the config chose one.

    A model with local modules gets :class:`LocalDataParallel`, or :class:`ModuleParallel` for
    ``local.placement='pipeline'``; any other is left to mmengine's own choice, which without an
    accelerator must not name a device.

    Args:
        cfg: Changed; its partition is resolved.
        launcher: Of the job.
    """
    if launcher == 'none':
        return
    if 'local' in cfg.model:
        chosen = cfg.get('model_wrapper_cfg') or {}
        default = dict(type='LocalDataParallel')
        if is_module_parallel(cfg):
            default, chosen = pipeline_wrapper(cfg), _without_default(chosen)
        cfg.model_wrapper_cfg = {**default, **chosen}
        if cfg.model.local.get('boundaries') != []:
            _check_wrapper(cfg)
    on_cpu = get_device() == 'cpu'
    wrapper = cfg.get('model_wrapper_cfg')
    if wrapper is None and on_cpu:
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    elif wrapper is not None and on_cpu and 'DistributedDataParallel' in str(wrapper.get('type')):
        wrapper.setdefault('device_ids', None)


def _without_default(chosen: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out the type that ``resolve`` fills in where a config names none."""
    if chosen.get('type') == 'LocalDataParallel':
        return {key: value for key, value in chosen.items() if key != 'type'}
    return chosen


def _check_wrapper(cfg: Config) -> None:
    """Warn of what does not fit local modules."""
    chosen = cfg.model_wrapper_cfg.type
    cls = MODEL_WRAPPERS.get(chosen) if isinstance(chosen, str) else chosen
    if not (isinstance(cls, type) and issubclass(cls, LocalDataParallel)):
        message = (
            f'model_wrapper_cfg.type={chosen!r} does not know local modules: at best their losses '
            'train through forward(mode="loss"), with right gradients but no saving of memory; '
            'use model_wrapper_cfg=dict(type="LocalDataParallel")'
        )
        print_log(message, logger='current', level=logging.WARNING)


def check_sync_batch_norm(cfg: Config, launcher: str) -> None:
    """Check that no layer synchronizes batch statistics between processes without GPUs.

    Raises:
        ValueError: One does; it would raise in the first step.
    """
    if launcher == 'none' or get_device() != 'cpu':
        return
    places = [path for path, part in walk(cfg.model, 'model') if type_name(part) in SYNCHRONIZED]
    if cfg.get('sync_bn'):
        places.append('sync_bn')
    if places:
        raise ValueError(
            f'SyncBN in {", ".join(places)} needs GPUs to train on several processes, and torch '
            'finds none: use type="BN" or type="GN" there, or train on one process, where it '
            'becomes BN'
        )


def _first_slurm_node(node_list: str) -> str:
    command = ['scontrol', 'show', 'hostname', node_list]
    try:
        nodes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return nodes[0]
    except (OSError, subprocess.CalledProcessError, IndexError) as error:
        raise ValueError(
            f'the first node of SLURM_NODELIST={node_list!r} is unknown ({error}): set MASTER_ADDR'
        ) from error
