"""Planning what a global pass recomputes, so that it stays within the cap of local steps. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..recompute.groups import RecomputeGroup
from .costs import StepBytes
from .recompute import plan_recompute


def plan_global_pass(
    step: StepBytes, boundaries: Collection[str], cap: int
) -> tuple[RecomputeGroup, ...] | None:
    """Find the groups of an end-to-end pass through all modules that fit ``cap``.

    Local heads do not run, but their parameters and the optimizer's state of them are there. Groups
    end where modules do.

    Args:
        step: The bytes, with the operations of every unit.
        boundaries: Of the partition.
        cap: Of the bytes of tensors.

    Returns:
        None if nothing fits.
    """
    ends = set(boundaries)
    units = tuple(
        replace(unit, ends_group=unit.ends_group or unit.name in ends) for unit in step.units
    )
    heads = sum(unit.head_parameters for unit in units if unit.name in ends)
    fixed = step.fixed + round(step.copies * heads)
    whole = replace(step, units=units, fixed=fixed, updates_per_module=False)
    plan = plan_recompute(whole, 1, cap)
    return None if plan is None else plan.groups
