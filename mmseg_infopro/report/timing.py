"""Real training steps of configs, from random weights on random data, and how long they take."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from ..config.build import build_model
from ..config.pretrained import without_pretrained
from ..config.step import step_shape
from ..measure.real_step import RealStep, free_memory
from ..measure.step_time import StepTimes, time_in_rounds
from ..planning.batch import StepShape, training_batch
from .trial import Trial

SEED = 0
"""Of weights and batch."""


def random_batch(shape: StepShape, num_classes: int) -> dict[str, Any]:
    """Make what mmseg's data loader yields, of random pixels and labels; no pixel is ignored."""
    generator = torch.Generator().manual_seed(SEED)
    batch = training_batch(shape)
    for image in batch['inputs']:
        image.random_(0, 256, generator=generator)
    for sample in batch['data_samples']:
        sample.gt_sem_seg.data.random_(0, num_classes, generator=generator)
        if shape.has_edges:
            sample.gt_edge_map.data.random_(0, 2, generator=generator)
    return batch


def real_config_step(cfg: Config, device: str) -> RealStep:
    """Build a config's model from random weights, to train on a random batch.

    cuDNN searches for its fastest algorithms where ``env_cfg`` asks for it, as in a Runner.

    Args:
        cfg: Resolved.
        device: ``'cuda'`` or ``'cpu'``.
    """
    torch.backends.cudnn.benchmark = bool((cfg.get('env_cfg') or {}).get('cudnn_benchmark'))
    torch.manual_seed(SEED)
    model = build_model(without_pretrained(cfg.model))
    shape = step_shape(cfg)
    return RealStep(
        model, cfg.optim_wrapper, lambda: random_batch(shape, model.num_classes), device
    )


def measured_bytes(cfg: Config) -> StepTimes:
    """Return the bytes that torch held on the GPU in a real step, and no times.

    Args:
        cfg: Resolved.
    """
    step = StepTimes(failure='out of GPU memory')
    with DefaultScope.overwrite_default_scope('mmseg'), suppress(torch.cuda.OutOfMemoryError):
        step.allocated, step.reserved = real_config_step(cfg, 'cuda').measure_bytes()
        step.failure = None
    free_memory()  # the error held what it had run out of memory with
    return step


def time_trials(
    trials: Sequence[Trial],
    num_rounds: int,
    num_steps: int,
    advance: Callable[[], None] = lambda: None,
) -> list[StepTimes]:
    """Time the trials on the GPU, or on the CPU where there is none; see ``time_in_rounds``.

    Args:
        trials: At least one.
        num_rounds: Turns of each trial.
        num_steps: Timed steps a turn.
        advance: Called after each turn of those that can be timed, ``num_rounds`` times each.
    """
    device = device_at_hand()
    makers = {
        index: lambda cfg=trial.cfg: real_config_step(cfg, device)
        for index, trial in enumerate(trials)
        if why_not_timed(trial) is None
    }
    with DefaultScope.overwrite_default_scope('mmseg'):
        times = time_in_rounds(makers, num_rounds, num_steps, advance)
    refused = {i: StepTimes(failure=why_not_timed(trial)) for i, trial in enumerate(trials)}
    return [times.get(index, refused[index]) for index in refused]


def device_at_hand() -> str:
    """Return ``'cuda'`` if there is a GPU, else ``'cpu'``."""
    return 'cuda' if torch.cuda.is_available() else 'cpu'


def why_not_timed(trial: Trial) -> str | None:
    """Return why no real step of a trial is taken; None if one is."""
    return trial.no_real_step or why_not_timed_here(trial.cfg)


def why_not_timed_here(cfg: Config, device: str | None = None) -> str | None:
    """Return why no real step of a config is taken on a device; None if one is.

    Args:
        cfg: The config.
        device: ``'cuda'`` or ``'cpu'``; that at hand if not given.
    """
    half, device = step_shape(cfg).autocast is torch.float16, device or device_at_hand()
    return 'float16 is not timed on a CPU' if half and device == 'cpu' else None


def describe_machine(device: str | None = None) -> dict[str, Any]:
    """Return what the times depend on: the device's name, threads of a CPU, torch's version.

    Args:
        device: ``'cuda'`` or ``'cpu'``; the one at hand if not given.
    """
    device = device or device_at_hand()
    if device == 'cuda':
        name, threads = torch.cuda.get_device_name(), None
    else:
        name, threads = _cpu_name(), torch.get_num_threads()
    return dict(device=device, name=name, threads=threads, torch=torch.__version__)


def _cpu_name() -> str:
    listing = Path('/proc/cpuinfo')
    lines = listing.read_text().splitlines() if listing.is_file() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()
