"""A config's local modules, one a process, beside the other ways to use as many processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from mmengine.config import Config

from ...backbones import boundary_names
from ...config.build import build_end_to_end, build_model
from ...config.caps import plain_end_to_end
from ...config.localize import localize
from ...config.pretrained import without_pretrained
from ...config.resolve import resolve
from ...config.step import dry_config_step, dry_config_steps, step_shape
from ...local.processes import BUCKET_CAP_MB
from ...measure.undrawn import undrawn_weights
from ...parallel.pipeline_checks import check_spreads
from ..baselines import check_counts
from ..timing import describe_machine
from .race import RaceRow, Turns, race, race_device, race_rows
from .turns import DATA_PARALLEL, END_TO_END, ONE_PROCESS, PIPELINE


@dataclass(frozen=True)
class WayCosts:
    """What dry steps say of a way to use some processes.

    Attributes:
        peak_bytes: Of each process that trains.
        flops_ratio: FLOPs for an image, of all processes together, relative to end-to-end training.
    """

    peak_bytes: tuple[int, ...]
    flops_ratio: float


@dataclass(frozen=True)
class Comparison:
    """Ways to use as many processes as there are local modules.

    Attributes:
        local: The resolved config of the pipeline.
        costs: By way.
        machine: See :func:`describe_machine`.
        rows: Of the ways that ran; none where nothing was to be timed.
        turns: Of these.
    """

    local: Config
    costs: Mapping[str, WayCosts]
    machine: Mapping[str, Any]
    rows: tuple[RaceRow, ...] = ()
    turns: Turns = field(default_factory=dict)


def check_pipelines(cfg: Config, num_modules: Sequence[int]) -> None:
    """Check, before anything is planned, that local modules can train one a process.

    Args:
        cfg: Any config of mmseg.
        num_modules: Numbers of them.

    Raises:
        TypeError: The network cannot be cut.
        ValueError: It has too few units, or its schedule or heads need several modules at once.
    """
    check_counts(cfg, num_modules)
    with undrawn_weights():
        names = boundary_names(build_end_to_end(localize(cfg, 2)).backbone)
        for count in num_modules:
            # Late ones: what is frozen is in the first module.
            boundaries = _own_boundaries(cfg, count) or names[1 - count :]
            local = localize(cfg, boundaries=boundaries)
            local.model.local.recompute = 'none'
            check_spreads(build_model(without_pretrained(resolve(local).model)))


def compare_ways(
    cfg: Config, num_modules: int, in_flight: int, num_rounds: int, num_steps: int
) -> Comparison:
    """Predict each way to use K processes, and let all ways race.

    Args:
        cfg: Any config of mmseg.
        num_modules: K.
        in_flight: ``local.in_flight``.
        num_rounds: Turns of each way; 0 only predicts.
        num_steps: That count in a turn.
    """
    with one_thread():
        local, plain = racing_configs(cfg, num_modules, in_flight)
        costs = predicted_costs(local, plain)
        machine = describe_machine(race_device(num_modules))
    if not num_rounds:
        return Comparison(local, costs, machine)
    turns = race(local, plain, num_rounds, num_steps)
    with undrawn_weights():
        trained = [p for p in build_end_to_end(plain).parameters() if p.requires_grad]
    gradients = sum(parameter.nbytes for parameter in trained)
    rows = race_rows(turns, step_shape(local).batch_size, in_flight, gradients)
    return Comparison(local, costs, machine, tuple(rows), turns)


@contextmanager
def one_thread() -> Iterator[None]:
    """Context with as many threads as a process of a race has: plans are for its speeds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def racing_configs(cfg: Config, num_modules: int, in_flight: int) -> tuple[Config, Config]:
    """Return the resolved configs of a pipeline in its exact form, and of end-to-end training.

    Args:
        cfg: Any config of mmseg.
        num_modules: K, of as many processes; the config's own boundaries, if it has so many.
        in_flight: ``local.in_flight``.
    """
    own = _own_boundaries(cfg, num_modules)
    local = localize(cfg, boundaries=own) if own else localize(cfg, num_modules)
    local.model.local.update(placement=PIPELINE, in_flight=in_flight, staleness=0, reuse=None)
    local.model.local.border_dtype = None
    if local.model.local.get('recompute') == 'auto':
        local.model.local.recompute = 'cheap'
    plain = plain_end_to_end(cfg)
    for key in ('placement', 'staleness', 'reuse', 'border_dtype'):
        plain.model.local.pop(key, None)
    return resolve(local), resolve(plain)


def _own_boundaries(cfg: Config, num_modules: int) -> list[str] | None:
    """Return those of a config that has so many modules."""
    own = (cfg.model.get('local') or {}).get('boundaries')
    return own if own is not None and len(own) + 1 == num_modules else None


def predicted_costs(local: Config, plain: Config) -> dict[str, WayCosts]:
    """Return what dry steps say of each way."""
    together = deepcopy(local)
    together.model.local.placement = 'replicate'
    stages, one = dry_config_steps(local), dry_config_step(together)
    end_to_end = dry_config_step(plain)
    whole = end_to_end.peak.total

    def ratio(flops: int) -> float:
        return flops / end_to_end.flops

    return {
        PIPELINE: WayCosts(
            tuple(step.peak.total for step in stages), ratio(sum(step.flops for step in stages))
        ),
        ONE_PROCESS: WayCosts((one.peak.total,), ratio(one.flops)),
        END_TO_END: WayCosts((whole,), 1.0),
        DATA_PARALLEL: WayCosts((whole + BUCKET_CAP_MB * 2**20,) * len(stages), 1.0),
    }


def as_figures(found: Comparison) -> dict[str, Any]:
    """Return the figures of a race as JSON can write them."""
    return dict(
        rows=[asdict(row) for row in found.rows],
        predicted={way: list(cost.peak_bytes) for way, cost in found.costs.items()},
        flops_ratio={way: cost.flops_ratio for way, cost in found.costs.items()},
        machine=dict(found.machine),
    )
