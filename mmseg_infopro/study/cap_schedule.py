"""A schedule for another batch, or for as long as another step takes."""

from __future__ import annotations

from copy import deepcopy

from mmengine.config import Config

SAME_IMAGES, SAME_TIME = 'images', 'time'
"""What runs under a cap have in common with the bed's own end-to-end one."""
RATES = ('eta_min', 'eta_max')
LENGTHS = (
    'begin',
    'end',
    'T_max',
    'total_iters',
    'total_steps',
    'step_size',
    'milestones',
    'periods',
)


def iterations_for(cfg: Config, batch_size: int, budget: str, time_ratio: float) -> int:
    """Return how many iterations a run gets.

    Args:
        cfg: With the bed's own batch and iterations.
        batch_size: Of the run.
        budget: :data:`SAME_IMAGES` or :data:`SAME_TIME`.
        time_ratio: Of the run's step to that of the bed's end-to-end training.
    """
    own = cfg.train_cfg.max_iters
    if budget == SAME_IMAGES:
        return max(1, round(own * cfg.train_dataloader.batch_size / batch_size))
    return max(1, round(own / time_ratio))


def rescheduled(cfg: Config, iterations: int, rate_factor: float) -> Config:
    """Return a copy of a config that trains for some iterations, with its whole schedule in them.

    It validates once, at the end.

    Args:
        cfg: The config.
        iterations: Of the run.
        rate_factor: For all learning rates; linear in the batch.
    """
    cfg = deepcopy(cfg)
    ratio = iterations / cfg.train_cfg.max_iters
    cfg.train_cfg.update(max_iters=iterations, val_interval=iterations)
    optimizer = cfg.optim_wrapper.optimizer
    optimizer.lr *= rate_factor
    schedulers = cfg.get('param_scheduler') or []
    for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
        for key in LENGTHS:
            if isinstance(scheduler.get(key), int):
                scheduler[key] = round(scheduler[key] * ratio)
            elif isinstance(scheduler.get(key), (list, tuple)):
                scheduler[key] = [round(length * ratio) for length in scheduler[key]]
        for key in RATES:
            if key in scheduler:
                scheduler[key] *= rate_factor
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint')
    if checkpoint is not None:
        checkpoint['interval'] = min(checkpoint.get('interval', iterations), iterations)
    return cfg
