"""Which ways to train a benchmark compares, and the config of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from mmengine.config import Config

from ..config.arguments import apply_method
from ..config.caps import card_bytes
from ..config.edit import override_step
from ..config.fit_cap import nearest_fit, set_fit
from ..config.localize import localize
from ..config.places import named
from ..config.resolve import resolve
from ..config.step import step_shape
from ..local.settings import read_local_settings
from ..measure.sizes import check_cap
from .baselines import end_to_end_forms
from .lever_rows import lever_trials
from .trial import Trial
from .way import way_of


@dataclass(frozen=True)
class Method:
    """What to plan.

    Attributes:
        num_modules: K; None is that of the config's own partition.
        recompute: ``local.recompute``; with one module and ``'none'``, all forms of end-to-end
            training.
        amp: As for :func:`override_step`; None is the config's own precision.
        cap: What ``'auto'`` recomputes for, in tensors: ``'5GiB'`` or ``'40%'``.
        heads: A form of InfoPro's local heads in place of the config's.
        with_levers: Whether to try every lever, on local modules without any.
    """

    num_modules: int | None
    recompute: str
    amp: str | None
    cap: str | None = None
    heads: str | None = None
    with_levers: bool = False


def methods_to_compare(
    cfg: Config,
    num_modules: Sequence[int] | None,
    recompute: Sequence[str],
    precisions: Sequence[str | None] = (None,),
    caps: Sequence[str] = (),
    heads: Sequence[str | None] = (None,),
    with_levers: bool = False,
) -> list[Method]:
    """Return end-to-end training and the local ones, by precision.

    Args:
        cfg: Local, or any other config of mmseg.
        num_modules: Numbers of local modules, of which 1 stands for end-to-end training, which is
            there anyway; the config's own partition if not given.
        recompute: Words of :data:`~.settings.RECOMPUTE`, for each of these; ``'auto'``
            also for K=1, if that is asked for.
        precisions: As for :func:`override_step`.
        caps: Bytes for tensors, as ``'5GiB'`` or ``'40%'``; ``'auto'`` is there for each of them.
        heads: Forms of InfoPro's local heads; None are the config's own.
        with_levers: Whether to try every lever for each of these.

    Raises:
        ValueError: There is no partition to take, or ``'auto'`` without a cap.
    """
    if ('auto' in recompute) != bool(caps):
        raise ValueError(
            "recompute='auto' and caps go together, "
            f'got recompute={list(recompute)} and caps={list(caps)}'
        )
    for cap in caps:
        with named('--cap'):
            check_cap(cap)
    if num_modules is None and 'local' not in cfg.model:
        raise ValueError('the config has no model.local: say --num-modules 2 4, for example')
    methods = []
    for amp in precisions:
        methods.append(Method(1, 'none', amp))
        for count in num_modules or (None,):
            words = [word for word in recompute if word != 'auto' and count != 1]
            for form in heads:
                methods += [Method(count, word, amp, None, form) for word in words]
                methods += [Method(count, 'auto', amp, cap, form) for cap in caps]
                if with_levers and count != 1:
                    methods.append(Method(count, 'none', amp, None, form, with_levers=True))
    return list(dict.fromkeys(methods))


def plan_trials(
    cfg: Config, methods: Sequence[Method], advance: Callable[[], None] = lambda: None
) -> list[Trial]:
    """Return the trials of each method, in order; ``advance`` is called after each.

    Raises:
        TypeError: The model cannot be cut.
        ValueError: A method does not fit the model. The largest K is tried first.
    """
    trials = {}
    for method in sorted(methods, key=lambda method: -(method.num_modules or 0)):
        trials[method] = _plan(cfg, method)
        advance()
    return [trial for method in methods for trial in trials[method]]


def without_compile(cfg: Config) -> Config:
    """Return a copy whose model is not compiled.

    Dry steps run eagerly, and compiling anew at every turn would take longer than the steps.
    """
    cfg = deepcopy(cfg)
    cfg.pop('compile', None)
    cfg.model.get('local', {}).pop('compile', None)
    return cfg


def _plan(cfg: Config, method: Method) -> list[Trial]:
    cfg = without_compile(cfg)
    override_step(cfg, amp=method.amp)
    cfg = apply_method(cfg, None, heads=method.heads)
    precision = str(step_shape(cfg).autocast or torch.float32).removeprefix('torch.')
    if method.num_modules == 1 and method.cap is None:
        forms = end_to_end_forms(cfg).items()
        return [Trial(way, precision, form) for way, form in forms]
    if method.cap is not None:
        count = method.num_modules or len(resolve(cfg).model.local.boundaries) + 1
        return [_plan_for_cap(cfg, count, method.cap, precision)]
    if method.with_levers:
        count = method.num_modules or len(resolve(cfg).model.local.boundaries) + 1
        return lever_trials(cfg, count, precision)
    local = cfg if method.num_modules is None else localize(cfg, method.num_modules)
    local.model.local.recompute = method.recompute
    resolved = resolve(local)
    detail = '' if method.recompute == 'none' else method.recompute
    way = way_of(cfg, len(resolved.model.local.boundaries) + 1, detail)
    return [Trial(way, precision, resolved)]


def _plan_for_cap(cfg: Config, num_modules: int, cap: str, precision: str) -> Trial:
    """Return what fits a cap; if nothing does, what comes nearest to it."""
    local = localize(cfg, memory_cap=card_bytes(cfg, cap, margin=0))
    local.model.local.update(memory_margin=0, recompute='auto')
    fit, fits = nearest_fit(local, read_local_settings(local.model.local), num_modules)
    way = way_of(cfg, fit.num_modules, f'auto {"" if fits else ">"}{cap}')
    return Trial(way, precision, resolve(set_fit(local, fit)))
