"""Measures on fake tensors what each unit and head adds to the memory of a training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmseg.models.segmentors import EncoderDecoder

from ..local.feature_flow import auxiliary_heads
from ..measure.undrawn import kept_generators
from ..recompute.groups import GROUP_SIZES, Recompute
from ..recompute.layers import recomputing
from ..upstream import tree_leaves
from .batch import StepShape
from .costs import HeadBytes, StepBytes
from .unit_bytes import (
    num_bytes,
    trained_bytes,
)
from .unit_measurement import UnitMeasurement


def measure_step(
    model: EncoderDecoder,
    head_cfgs: Sequence[Mapping[str, Any]],
    head_defaults: Mapping[str, Any],
    shape: StepShape,
    recomputed: Recompute = 'none',
    updates_per_module: bool = False,
    context_cfg: Mapping[str, Any] | None = None,
    offloads: bool = False,
) -> StepBytes:
    """Return the bytes of every unit and of the heads.

    Args:
        model: A segmentor on an unrolled backbone; a throw-away fake copy of it runs.
        head_cfgs: ``local.heads``.
        head_defaults: What the model fills in for them.
        shape: Of the step.
        recomputed: ``local.recompute``, a word.
        updates_per_module: ``local.update_per_module``, where nothing stands in its way.
        context_cfg: ``local.context``.
        offloads: Whether what all modules save waits on the host.
    """
    run = UnitMeasurement(model, head_cfgs, head_defaults, shape, recomputed, offloads)
    run.add_contexts(context_cfg, head_defaults)
    with kept_generators(), run.mode, shape.autocast_context(), recomputing(run.recomputed_heads):
        units = run.units()
        behind = run.costs_of_tail()
        for aux, feature in run.reads.movable.items():
            costs, position = run.costs_of_auxiliary(aux), run.reads.emitting_units[feature]
            read = num_bytes(tree_leaves(run.reads.features[feature].kept))
            head = HeadBytes(costs.peak, costs.saved, read)
            units[position] = replace(
                units[position],
                auxiliary=(*units[position].auxiliary, head),
                auxiliary_work=units[position].auxiliary_work + costs.work,
            )
    tail = [model.decode_head, *(auxiliary_heads(model)[aux] for aux in run.reads.fixed_aux)]
    tail += [model.neck] if model.with_neck else []
    parameters = num_bytes(model.parameters())
    return StepBytes(
        tuple(units),
        behind.peak,
        fixed=round(shape.copies * parameters) + run.batch_bytes,
        copies=float(shape.copies),
        group_size=GROUP_SIZES.get(str(recomputed), 0),
        tail_gradients=sum(trained_bytes(head.parameters()) for head in tail)
        + trained_bytes(run.reads.emitting_parameters()),
        updates_per_module=updates_per_module,
        tail_parameters=parameters - sum(unit.parameters for unit in units),
        tail_work=behind.work,
        tail_saved=behind.saved,
        image=num_bytes([run.image]),
        labels=num_bytes(sample.gt_sem_seg.data for sample in run.samples),
    )
