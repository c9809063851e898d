"""The largest crop whose steps run on a card of 24 GB: predicted, and found by real steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from math import isqrt
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from infopro.words import DEFAULT_MARGIN

from ...config.edit import set_crop
from ...config.step import config_peak
from ...hooks.memory_hook import limit_allocator
from ...local.settings import CONTEXT_MARGIN
from ...measure.real_step import free_memory
from ...measure.sizes import parse_bytes
from ..timing import real_config_step
from .bytes_rows import step_bytes
from .networks import Network
from .plans import Plan, Plans
from .tasks import Setup, Task

CARD = parse_bytes('24GiB')
STRIDE = 32
"""Heights are its multiples; crops are twice as wide as high."""
SECONDS = 180


def crop_task(setup: Setup, plans: Plans, network: Network, way: str) -> Task:
    """Return the row of one way to train one network."""

    def run() -> dict[str, Any]:
        plan = plans.get(network, 'float32', way)
        cfg = plan.cfg
        card = CARD if setup.on_gpu else 3 * plan.peak
        for_tensors = card - parse_bytes(DEFAULT_MARGIN) if setup.on_gpu else card
        predicted = predicted_height(plan, network.crop[0], for_tensors)
        with limited(card) if setup.on_gpu else without_limit():
            found = largest_height(lambda h: _fits(setup, with_height(cfg, h), card), predicted)
        names = ('predicted', 'measured')
        crops = {name: [h, 2 * h] for name, h in zip(names, (predicted, found), strict=True)}
        return dict(network=network.name, way=way, card=card, batch=network.batch_size, **crops)

    return Task(
        'crop',
        f'{network.name} {way}',
        run,
        SECONDS,
        planning=lambda: plans.seconds_missing(network, 'float32', (way,)),
    )


def with_height(cfg: Config, height: int) -> Config:
    """Return a copy of a config whose crop is so high, and twice as wide."""
    cfg = deepcopy(cfg)
    set_crop(cfg, (height, 2 * height))
    return cfg


def predicted_height(plan: Plan, height: int, num_bytes: int) -> int:
    """Return the largest height whose step needs no more, bytes being affine in pixels.

    Args:
        plan: Whose peak is that of ``height``.
        height: At twice of it a dry step tells how the bytes grow.
        num_bytes: For tensors.
    """
    twice = config_peak(with_height(plan.cfg, 2 * height)).total
    slope = (twice - plan.peak) / (3 * height**2)  # per squared pixel of height
    squared = height**2 + (num_bytes - plan.peak) / slope
    return max(STRIDE, isqrt(max(0, int(squared))) // STRIDE * STRIDE)


def largest_height(fits: Callable[[int], bool], guess: int) -> int:
    """Return the largest multiple of :data:`STRIDE` that fits; 0 if none does.

    Args:
        fits: Whether a height does; no larger one does if one does not.
        guess: Where to begin, a multiple.
    """
    height = guess
    if fits(height):
        while fits(height + STRIDE):
            height += STRIDE
        return height
    while height > 0 and not fits(height):
        height -= STRIDE
    return max(height, 0)


def _fits(setup: Setup, cfg: Config, card: int) -> bool:
    if not setup.on_gpu:
        return step_bytes(cfg, setup.device)[0] <= card
    try:
        _take_steps(cfg, setup.device)
    except torch.cuda.OutOfMemoryError:
        return False
    finally:
        free_memory()
    return True


def _take_steps(cfg: Config, device: str) -> None:
    with DefaultScope.overwrite_default_scope('mmseg'):
        step = real_config_step(cfg, device)
        step.take()
        step.take()  # the first one with the optimizer's state from the start
        torch.cuda.synchronize()


@contextmanager
def limited(card: int) -> Iterator[None]:
    """Context in which torch's allocator holds what it could on a smaller card."""
    limit_allocator(card, parse_bytes(CONTEXT_MARGIN))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


@contextmanager
def without_limit() -> Iterator[None]:
    """Context that limits nothing."""
    yield
