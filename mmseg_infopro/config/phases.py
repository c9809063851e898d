"""What of a run depends on the phases of its schedule: the rate, the validations."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger

from ..local.phased_poly import PhasedPolyLR
from ..local.schedule import Schedule
from ..local.schedules import build_schedule, find_schedule
from .walk import type_name

WARM_UPS = ('LinearLR', 'ConstantLR')
"""Schedulers that are for the beginning of a run only."""


def fill_max_iters(cfg: Config) -> None:
    """Tell a config's schedule, in place, the iterations of the run, if it asks for them.

    Raises:
        ValueError: The schedule was told others.
    """
    schedule = cfg.model.local.get('schedule')
    if schedule is None or 'max_iters' not in signature(find_schedule(schedule['type'])).parameters:
        return
    given, own = schedule.get('max_iters'), cfg.get('train_cfg', {}).get('max_iters')
    if given is not None and own is not None and given != own:
        raise ValueError(
            f'local.schedule.max_iters={given} is not the train_cfg.max_iters={own} of the run: '
            'leave it out'
        )
    if given is None and own is not None:
        schedule['max_iters'] = own


def fit_run_to_schedule(cfg: Config) -> None:
    """Change a config whose boundaries are known, in place, to fit its ``local.schedule``.

    Where modules train one after the other, a ``PolyLR`` becomes one that starts anew with each of
    them, and validations before the tail trains, whose predictions are noise, are left out.

    Raises:
        ValueError: The schedule does not fit the config.
    """
    local = cfg.model.local
    if 'schedule' not in local:
        return
    schedule = build_schedule(local.schedule, local.boundaries)  # raises if it does not fit
    num_modules = len(local.boundaries) + 1
    if num_modules == 1:
        return
    _check_period(schedule, cfg.get('optim_wrapper', {}).get('accumulative_counts', 1))
    phases = schedule.phases(num_modules)
    tail_begins = min(
        (
            begin
            for begin in phases.values()
            for run in schedule(begin, num_modules)
            if run.trains and run.last == num_modules - 1
        ),
        default=None,
    )
    if tail_begins is None:
        raise ValueError(
            f'local.schedule ({type(schedule).__name__}) never trains the tail, which predicts: '
            'give it a share'
        )
    if tail_begins > 0:
        _restart_rates(cfg, sorted(phases.values()))
        _delay_validation(cfg, tail_begins)


def _check_period(schedule: Schedule, accumulative_counts: int) -> None:
    period = getattr(schedule, 'period', None)
    if period is None:
        return
    if period % accumulative_counts or period < 2 * accumulative_counts:
        raise ValueError(
            'local.schedule.period counts iterations, and must be a multiple of '
            f'optim_wrapper.accumulative_counts={accumulative_counts}, whose steps are of one '
            f'kind, by at least 2, or no step is local; got {period}'
        )


def _restart_rates(cfg: Config, phases: list[int]) -> None:
    schedulers = cfg.get('param_scheduler') or []
    if not isinstance(schedulers, list):
        schedulers = [schedulers]
    max_iters = cfg.train_cfg.get('max_iters')
    cfg.param_scheduler = [_phased(item, phases, max_iters) for item in schedulers]


def _phased(
    scheduler: Mapping[str, Any], phases: list[int], max_iters: int | None
) -> Mapping[str, Any]:
    is_poly = type_name(scheduler) == 'PolyLR' and not scheduler.get('by_epoch', True)
    begin = scheduler.get('begin', 0)
    if not is_poly or not max_iters or any(0 < phase <= begin for phase in phases):
        if type_name(scheduler) not in WARM_UPS:
            MMLogger.get_current_instance().warning(
                f'{type_name(scheduler)} does not start anew with the modules, which begin at '
                f'iterations {phases}: later ones train at what is left of the rate'
            )
        return scheduler
    kept = {key: scheduler[key] for key in ('power', 'eta_min') if key in scheduler}
    MMLogger.get_current_instance().info(
        f'the learning rate starts anew at iterations {phases}: PolyLR becomes PhasedPolyLR'
    )
    # Counted from where it begins, behind a warm-up.
    counted = [max(0, phase - begin) for phase in phases]
    phased = {'type': PhasedPolyLR.__name__, 'phases': counted, 'length': max_iters - begin}
    phased['by_epoch'] = False  # mmengine's Runner reads it, and otherwise ends it by epochs
    return {**kept, **phased, **({'begin': begin} if begin else {})}


def _delay_validation(cfg: Config, tail_begins: int) -> None:
    first = tail_begins + 1
    if cfg.get('train_cfg', {}).get('val_begin', 1) < first:
        cfg.train_cfg.val_begin = first
        MMLogger.get_current_instance().warning(
            f'validations before iteration {first} are left out: the tail, which predicts, does '
            f'not train before (train_cfg.val_begin={first})'
        )
