"""Levers one by one, on top of local modules without any: what a benchmark tries of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from mmengine.config import Config

from ..config.edit import override_step
from ..config.levers import BIT_FOR_BIT, LEVERS, TO_ROUNDING, Lever
from ..config.localize import localize
from ..config.recipes import RECIPES, use_levers, use_recipe
from ..config.resolve import resolve
from ..local.eight_bit import TORCHAO
from .trial import Trial
from .way import way_of

PLAIN = 'plain'
"""The recipe without levers."""
BUDGET = 0.5
"""Of what a compiled module would save."""
OTHERS: dict[str, Lever] = {
    'float16': Lever(
        'mixed precision with a loss scale: maps are half as large, on a GPU many kernels faster',
        'in float16',
        {},
        change=partial(override_step, amp='float16'),
    ),
    'channels_last': Lever(
        'maps and weights with the channels innermost: no bytes, but other kernels',
        TO_ROUNDING,
        {'model.local.channels_last': True},
    ),
    'compile': Lever(
        f'torch.compile of each module, which keeps {BUDGET:.0%} of what it would save '
        '(activation_memory_budget) and computes the rest again',
        TO_ROUNDING,
        {'model.local.compile': dict(activation_memory_budget=BUDGET)},
    ),
}
"""Levers that are no part of recipes: a config or a command line says them in its own way."""
ROWS = {**LEVERS, **OTHERS}
EAGER = 'a dry step runs eagerly, and tells nothing of a compiled one'
SLOW = 'on a CPU to compile takes longer than all other rows'


def lever_trials(cfg: Config, num_modules: int, precision: str) -> list[Trial]:
    """Return local modules without levers, with each of them, and by each recipe.

    Args:
        cfg: Local, or any other config of mmseg.
        num_modules: K, from 2 on.
        precision: Of the config's forward pass, as tables name it.
    """
    plain = localize(cfg, num_modules, recipe=PLAIN)
    way = way_of(plain, num_modules, PLAIN)
    trials = [Trial(way, precision, resolve(plain), BIT_FOR_BIT)]
    for name, lever in ROWS.items():
        own = replace(way, detail=f'+ {name}')
        what = Trial(own, precision, plain, lever.exact, lever.summary)
        trials.append(_tried(what, partial(_with_lever, plain, name)))
    for word, recipe in RECIPES.items():
        if word != PLAIN:
            what = Trial(replace(way, detail=word), precision, plain, recipe.exact)
            trials.append(_tried(what, partial(_by_recipe, plain, word)))
    return trials


def _with_lever(plain: Config, name: str) -> Config:
    cfg = localize(plain, plain.model.local.num_modules)  # a copy
    lever = ROWS[name]
    if not lever.fits(cfg):
        raise ValueError(f'it needs {lever.needs}')
    if name in LEVERS:
        use_levers(cfg, [name])
    else:
        lever.add(cfg)
    return resolve(cfg)


def _by_recipe(plain: Config, word: str) -> Config:
    cfg = localize(plain, plain.model.local.num_modules)
    use_recipe(cfg, word)
    return resolve(cfg)


def _tried(trial: Trial, make: Callable[[], Config]) -> Trial:
    """Return a trial with its config, or with the reason why it has none here."""
    try:
        cfg = make()
    except (ValueError, TypeError) as error:
        return trial.without(str(error), str(error))
    is_compiled = bool(cfg.model.local.get('compile'))
    compiles = is_compiled or str(cfg.optim_wrapper.optimizer.type).startswith(TORCHAO)
    slow = SLOW if compiles and not torch.cuda.is_available() else ''
    return trial.of(cfg).without(EAGER if is_compiled else '', slow)
