"""The schedules that local-learning methods use. Knows nothing of networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from inspect import signature
from typing import Any

from .overlapping import Overlapping
from .schedule import SCHEDULES, Pass, Schedule, check_passes, global_pass
from .sequential import Sequential

__all__ = [
    'DeepSupervision',
    'Local',
    'Overlapping',
    'PeriodicGlobal',
    'Sequential',
    'build_schedule',
]


GLOBAL_RECOMPUTE = ('none', 'cheap', 'units', 'module', 'auto')


@SCHEDULES.register_module()
class Local(Schedule):
    """One pass for each module, in order: InfoPro, DGL, and most of the field."""

    def __call__(self, iteration: int, num_modules: int) -> list[Pass]:
        """Return one pass for each module."""
        return [Pass(module, module, {module: 1.0}) for module in range(num_modules)]


@SCHEDULES.register_module()
class DeepSupervision(Schedule):
    """One pass with all heads and nothing detached: the control of every local method.

    After https://arxiv.org/abs/1409.5185. Its peak is that of end-to-end training and more.
    """

    def __call__(self, iteration: int, num_modules: int) -> list[Pass]:
        """Return the one pass."""
        return [Pass(0, num_modules - 1, dict.fromkeys(range(num_modules), 1.0))]


@SCHEDULES.register_module()
class PeriodicGlobal(Schedule):
    """Local training with global passes: only the tail's and the auxiliary losses count there.

    PGL, https://arxiv.org/abs/2208.00821, reinstates the global objective periodically. Neither
    period nor share were published; they are choices of ours. In a global pass no local head gets
    gradient, so none moves, and all parameters are updated at its end.

    Args:
        period: Every so many iterations one is global: the last of them. A multiple of
            ``accumulative_counts``.
        last_share: The share of the run at its end in which all are.
        max_iters: Iterations of the run, for ``last_share``; from the config's ``train_cfg`` if not
            given.
        recompute: What a global pass computes again: ``'module'``, all inside the modules up to
            where features are read off; ``'none'``, no more than the modules do in local steps;
            else as ``local.recompute``. ``'auto'``, for ``mmseg_infopro.resolve``, is what
            ``local.memory_cap`` needs.

    Raises:
        ValueError: Not exactly one of ``period`` and ``last_share``, or one is out of range.
    """

    def __init__(
        self,
        period: int | None = None,
        last_share: float | None = None,
        max_iters: int | None = None,
        recompute: Any = 'module',
    ) -> None:
        if (period is None) == (last_share is None):
            raise ValueError(
                'exactly one of period and last_share must be given, got '
                f'period={period} and last_share={last_share}'
            )
        if isinstance(recompute, str) and recompute not in GLOBAL_RECOMPUTE:
            raise ValueError(
                f'recompute must be one of {", ".join(GLOBAL_RECOMPUTE)}, or a list of groups, got '
                f'{recompute!r}'
            )
        if period is not None and not (isinstance(period, int) and period >= 2):
            raise ValueError(f'period must be an int of at least 2, got {period!r}')
        if last_share is not None and not 0 < last_share < 1:
            raise ValueError(f'last_share must be between 0 and 1, got {last_share}')
        if last_share is not None and max_iters is None:
            raise ValueError(
                'max_iters must be the iterations of the run, which last_share is of; '
                'mmseg_infopro.resolve takes it from train_cfg.max_iters'
            )
        self.period, self.recompute = period, recompute
        self.begin = None if last_share is None else round((1 - last_share) * (max_iters or 0))

    def __call__(self, iteration: int, num_modules: int) -> list[Pass]:
        """Return one global pass where it is due, else those of :class:`Local`."""
        if self.begin is not None:
            is_global = iteration >= self.begin
        else:
            is_global = iteration % (self.period or 1) == (self.period or 1) - 1
        if is_global:
            return [global_pass(num_modules, self.recompute != 'none')]
        return Local()(iteration, num_modules)

    def phases(self, num_modules: int) -> dict[str, int]:
        """Return the two kinds of step."""
        begin = (self.period or 1) - 1 if self.begin is None else self.begin
        return {'local': 0, 'global': begin}


def build_schedule(cfg: Mapping[str, Any], boundaries: Sequence[str]) -> Schedule:
    """Build ``local.schedule`` and try each of its phases.

    Args:
        cfg: With its ``type``, a name or a class; ``borders`` may be names of boundaries.
        boundaries: Of the model.

    Raises:
        ValueError: There is no such schedule, or it does not fit.
    """
    schedule_class = find_schedule(cfg['type'])
    num_modules = len(boundaries) + 1
    arguments = {key: value for key, value in cfg.items() if key != 'type'}
    if arguments.get('borders') is not None:
        arguments['borders'] = [_border_index(name, boundaries) for name in arguments['borders']]
    if not (isinstance(schedule_class, type) and issubclass(schedule_class, Schedule)):
        raise ValueError(
            f'local.schedule.type must be a subclass of Schedule, got {schedule_class!r}'
        )
    known = list(signature(schedule_class).parameters)
    unknown = [key for key in arguments if key not in known]
    if unknown:
        raise ValueError(
            f'local.schedule ({schedule_class.__name__}) takes no {", ".join(unknown)}; valid: '
            f'{", ".join(known) or "nothing"}'
        )
    try:
        schedule = schedule_class(**arguments)
        for iteration in schedule.phases(num_modules).values():
            check_passes(schedule(iteration, num_modules), num_modules)
    except (TypeError, ValueError) as error:
        raise ValueError(f'local.schedule ({schedule_class.__name__}): {error}') from error
    return schedule


def find_schedule(kind: Any) -> type[Schedule]:
    """Return the class of ``local.schedule.type``.

    Raises:
        ValueError: There is none of this name.
    """
    found = SCHEDULES.get(kind) if isinstance(kind, str) else kind
    if found is None:
        known = sorted(SCHEDULES.module_dict)
        near = get_close_matches(kind, known, 1)
        hint = f'; did you mean {near[0]}?' if near else ''
        raise ValueError(
            f'local.schedule.type must be one of {", ".join(known)}, got {kind!r}{hint}'
        )
    return found


def _border_index(name: str | int, boundaries: Sequence[str]) -> int:
    if isinstance(name, int):
        return name
    if name not in boundaries:
        raise ValueError(
            f'local.schedule.borders names {name!r}, which is no boundary of the partition; valid: '
            f'{", ".join(boundaries)}'
        )
    return boundaries.index(name)
