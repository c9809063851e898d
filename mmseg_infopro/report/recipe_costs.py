"""Measures what recipes and numbers of local modules cost on one network, by dry steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmengine.config import Config

from ..config.caps import plain_end_to_end
from ..config.levers import LEVERS
from ..config.localize import localize
from ..config.recipes import RECIPES, use_levers
from ..config.resolve import resolve
from ..config.step import dry_config_steps, step_shape
from ..measure.traffic import Traffic
from .baselines import check_counts

HEADS = ('fitted', 'paper')
Costs = dict[str, Any]


def measure_recipes(
    cfg: Config, name: str, num_modules: Sequence[int], advance: Callable[[], None] = lambda: None
) -> Costs:
    """Return the figures of all levers, recipes and numbers of modules.

    Args:
        cfg: Any config of mmseg.
        name: As it is shown.
        num_modules: Numbers of local modules; levers and recipes are measured at the first one.
        advance: Called after each row, of :func:`num_rows`.
    """
    check_counts(cfg, num_modules)
    shape = step_shape(cfg)
    first = num_modules[0]
    whole = _step(plain_end_to_end(cfg))

    def share(trial: Config) -> dict[str, float]:
        found = _step(resolve(trial))
        advance()
        return {key: round(found[key] / whole[key], 4) for key in whole}

    plain = localize(cfg, first, recipe='plain')

    def with_lever(lever: str) -> Config:
        trial = localize(plain, first)
        use_levers(trial, [lever])
        return trial

    return dict(
        config=name,
        step=f'batches of {shape.batch_size} at {shape.crop[0]}x{shape.crop[1]}',
        num_modules=first,
        end_to_end=whole,
        recipes={word: share(localize(cfg, first, recipe=word)) for word in RECIPES},
        levers={lever: share(with_lever(lever)) for lever in LEVERS},
        trainings=[
            dict(num_modules=k, heads=heads) | share(localize(cfg, k, heads=heads, recipe='plain'))
            for k in num_modules
            for heads in HEADS
        ],
    )


def num_rows(num_modules: Sequence[int]) -> int:
    """Return how many rows there are to measure."""
    return len(RECIPES) + len(LEVERS) + len(HEADS) * len(num_modules)


def _step(cfg: Config) -> dict[str, int]:
    traffic = Traffic()
    (step,) = dry_config_steps(cfg, traffic)
    return dict(peak=step.peak.total, flops=step.flops, traffic=traffic.num_bytes)
