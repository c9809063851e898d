"""What every method costs on one config: peak bytes and FLOPs of its steps, by dry steps."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..config.localize import localize
from ..config.methods import find_method
from ..config.places import first_sentence
from ..config.resolve import resolve
from ..config.step import dry_config_step, dry_config_steps
from .baselines import E2E, end_to_end_forms

Costs = dict[str, Any]
"""As JSON: ``config``, ``peak`` and ``flops`` of end-to-end training, and ``methods``: by name, by
K as text, a list of kinds of step with ``kind``, ``peak`` and ``flops`` as shares of these, or with
the reason why it was ``refused``."""


def read_costs(file: Path) -> Costs:
    """Read what was measured before.

    Raises:
        ValueError: There is no such file, or it holds something else.
    """
    try:
        costs = json.loads(file.read_text())
        known = {key: costs[key] for key in ('config', 'peak', 'flops', 'methods')}
    except FileNotFoundError as error:
        raise ValueError(f'--json {file} does not exist: measure with --costs CONFIG') from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = first_sentence(error)
        raise ValueError(f'--json {file} does not hold the costs of methods: {reason}') from error
    return known


def end_to_end_costs(cfg: Config, name: str) -> Costs:
    """Return the costs of end-to-end training, which all others are shares of."""
    step = dry_config_step(end_to_end_forms(cfg)[E2E])
    return dict(config=name, peak=step.peak.total, flops=step.flops, methods={})


def add_costs(
    costs: Costs,
    cfg: Config,
    methods: Sequence[str],
    num_modules: Sequence[int],
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Measure some methods, and put them in place of what ``costs`` has of them.

    Args:
        costs: Of :func:`end_to_end_costs`; changed.
        cfg: The config.
        methods: Their names.
        num_modules: For each K.
        advance: Called after each measurement.

    Raises:
        ValueError: There is no such method.
    """
    for name in methods:
        find_method(name)
        own = costs['methods'].setdefault(name, {})
        for count in num_modules:
            try:
                own[str(count)] = _measured(cfg, name, count, costs)
            except (ValueError, TypeError) as error:  # a row that says so
                own[str(count)] = [dict(kind='', refused=str(error))]
            advance()


def _measured(cfg: Config, name: str, count: int, costs: Costs) -> list[dict[str, Any]]:
    local = resolve(localize(deepcopy(cfg), count, method=name))
    return [
        dict(
            kind=step.kind,
            peak=round(step.peak.total / costs['peak'], 4),
            flops=round(step.flops / costs['flops'], 4),
        )
        for step in dry_config_steps(local)
    ]
