"""Measures on fake tensors what each unit and head adds to the memory of a training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ..backbones import (
    FeatureShape,
    numbered_emits,
    trace_backbone,
)
from ..local_heads import build_local_heads
from ..memory import Activations, Saved, fake_copy, recomputing
from .feature_flow import auxiliary_heads, features_read, neck_and_heads
from .grouping import GROUP_SIZES, Recompute
from .head_peaks import peak_of_heads, peak_of_tail
from .planning import StepBytes, UnitBytes
from .step_shape import StepShape, training_batch
from .unit_bytes import SavedBytes, UnitsAlone, as_leaf, gradient_bytes, num_bytes, trained_bytes


def measure_step(
    model: EncoderDecoder,
    head_cfgs: Sequence[Mapping[str, Any]],
    head_defaults: Mapping[str, Any],
    shape: StepShape,
    recomputed: Recompute = 'none',
    updates_per_module: bool = False,
) -> StepBytes:
    """Return the bytes of every unit and of the heads.

    Args:
        model: A segmentor on an unrolled backbone; a throw-away fake copy of it runs.
        head_cfgs: ``local.heads``.
        head_defaults: What the model fills in for them.
        shape: Of the step.
        recomputed: ``local.recompute``, a word.
        updates_per_module: ``local.update_per_module``, where nothing stands in its way.
    """
    trace = trace_backbone(model.backbone, shape.in_channels)
    tail_reads, aux_reads = features_read(model, trace.samples)
    # Those of several features are taken for the tail's.
    movable = {i: next(iter(reads)) for i, reads in enumerate(aux_reads) if len(reads) == 1}
    fixed_aux = [i for i in range(len(aux_reads)) if i not in movable]
    mode = FakeTensorMode()
    fake_model = fake_copy(model, mode)
    fake_model.train()
    heads = {
        border: fake_copy(build_local_heads(head_cfgs, border, head_defaults, name, 0.0), mode)
        for border, name in {border: name for name, border in trace.borders.items()}.items()
    }
    recomputes = recomputed != 'none'
    recomputed_heads = [*heads.values(), *neck_and_heads(fake_model)] if recomputes else []
    with mode, shape.autocast_context(), recomputing(recomputed_heads):
        samples = training_batch(shape)['data_samples']
        state = image = torch.empty(shape.batch_size, shape.in_channels, *shape.crop)
        backbone, saved = fake_model.backbone, SavedBytes(fake_model)
        units: list[UnitBytes] = []
        emitted: dict[int, Tensor] = {}
        feature_units: dict[int, int] = {}
        peaks: dict[tuple[FeatureShape, ...], int] = {}
        alone = UnitsAlone()
        all_units = backbone.units()
        for unit, emits in zip(all_units, numbered_emits(all_units), strict=True):
            own_peak, activations = alone.measure(backbone, unit, state)
            with saved:
                state = unit.apply(backbone, state)
            border = trace.borders[unit.name]
            if border not in peaks:
                border_features = backbone.border_features(state)
                peaks[border] = peak_of_heads(
                    heads[border], border_features, samples, image, recomputes
                )
            own = {index: emit.apply(backbone, state) for index, emit in emits}
            emitted |= tree_map_only(Tensor, as_leaf, own)
            gradients = gradient_bytes(backbone, unit)
            units.append(
                UnitBytes(
                    unit.name,
                    saved=saved.take(),
                    state=num_bytes(tree_leaves(state)),
                    gradients=gradients,
                    retained=num_bytes(tree_leaves([f for i, f in own.items() if i in tail_reads])),
                    heads=peaks[border],
                    backward=own_peak,
                    head_parameters=num_bytes(heads[border].parameters()),
                    frozen=not gradients,
                    kept=_kept_bytes(activations, recomputed),
                    ends_group=bool(unit.emits),
                    inside=activations.saved_bytes,
                    operations=activations.operations,
                )
            )
            feature_units |= dict.fromkeys(own, len(units) - 1)
        features = [emitted[index] for index in sorted(emitted)]
        tail_heads = peak_of_tail(fake_model, features, samples, fixed_aux, recomputes)
        for aux, feature in movable.items():
            # What it adds to other heads: their peaks do not fall together.
            with_aux = [*fixed_aux, aux]
            extra = peak_of_tail(fake_model, features, samples, with_aux, recomputes) - tail_heads
            unit = units[feature_units[feature]]
            units[feature_units[feature]] = replace(
                unit,
                auxiliary=unit.auxiliary + extra,
                auxiliary_feature=num_bytes(tree_leaves(emitted[feature])),
            )
    fixed = shape.copies * num_bytes(model.parameters()) + num_bytes([image])
    tail = [model.decode_head, *(auxiliary_heads(model)[aux] for aux in fixed_aux)]
    tail += [model.neck] if model.with_neck else []
    return StepBytes(
        tuple(units),
        tail_heads,
        fixed,
        shape.copies,
        group_size=GROUP_SIZES.get(str(recomputed), 0),
        tail_gradients=sum(trained_bytes(head.parameters()) for head in tail),
        updates_per_module=updates_per_module,
    )


def _kept_bytes(activations: Activations, recomputed: Recompute) -> int:
    return activations.kept_bytes(cast(Saved, recomputed)) if recomputed in GROUP_SIZES else 0
