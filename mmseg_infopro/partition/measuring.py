"""Measures on fake tensors what each unit and head adds to the memory of a training step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ..backbones import (
    FeatureShape,
    State,
    Unit,
    UnrolledBackbone,
    numbered_emits,
    owned_parameters,
    trace_backbone,
)
from ..local_heads import build_local_heads, head_losses
from ..memory import Activations, Saved, fake_copy, measure_activations, peak_beyond, recomputing
from .feature_flow import auxiliary_heads, features_read, neck_and_heads
from .grouping import GROUP_SIZES, Recompute
from .planning import StepBytes, UnitBytes


@dataclass(frozen=True)
class StepShape:
    """What the memory of a training step depends on, besides the model.

    Attributes:
        batch_size: Images.
        crop: Height and width, in pixels.
        in_channels: Of an image.
        autocast: Precision of mixed-precision training.
        copies: How many times the bytes of a parameter are alive all the time: once, and once
            more for each value that the optimizer keeps, as momentum.
        has_edges: Whether samples hold an edge map beside the label map.
    """

    batch_size: int
    crop: tuple[int, int]
    in_channels: int = 3
    autocast: torch.dtype | None = None
    copies: int = 2
    has_edges: bool = False

    def autocast_context(self) -> Any:
        """Return the context of the forward pass."""
        return torch.autocast('cpu', self.autocast) if self.autocast else nullcontext()


def training_batch(shape: StepShape) -> dict[str, Any]:
    """Make a batch as mmseg's data loader does: uint8 images and label maps of zeros."""
    height, width = shape.crop
    samples = []
    for _ in range(shape.batch_size):
        sample = SegDataSample(metainfo=dict(img_shape=shape.crop, ori_shape=shape.crop))
        label = torch.zeros(1, height, width, dtype=torch.long)
        sample.gt_sem_seg = PixelData(data=label)
        if shape.has_edges:
            sample.gt_edge_map = PixelData(data=torch.zeros_like(label))
        samples.append(sample)
    images = [
        torch.zeros(shape.in_channels, height, width, dtype=torch.uint8)
        for _ in range(shape.batch_size)
    ]
    return dict(inputs=images, data_samples=samples)


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
        backbone, saved = fake_model.backbone, _SavedBytes(fake_model)
        units: list[UnitBytes] = []
        emitted: dict[int, Tensor] = {}
        feature_units: dict[int, int] = {}
        peaks: dict[tuple[FeatureShape, ...], int] = {}
        alone = _UnitsAlone()
        all_units = backbone.units()
        for unit, emits in zip(all_units, numbered_emits(all_units), strict=True):
            own_peak, activations = alone.measure(backbone, unit, state)
            with saved:
                state = unit.apply(backbone, state)
            border = trace.borders[unit.name]
            if border not in peaks:
                border_features = backbone.border_features(state)
                peaks[border] = _peak_of_heads(
                    heads[border], border_features, samples, image, recomputes
                )
            own = {index: emit.apply(backbone, state) for index, emit in emits}
            emitted |= tree_map_only(Tensor, _leaf, own)
            gradients = _gradient_bytes(backbone, unit)
            units.append(
                UnitBytes(
                    unit.name,
                    saved=saved.take(),
                    state=_num_bytes(tree_leaves(state)),
                    gradients=gradients,
                    retained=_num_bytes(
                        tree_leaves([f for i, f in own.items() if i in tail_reads])
                    ),
                    heads=peaks[border],
                    backward=own_peak,
                    head_parameters=_num_bytes(heads[border].parameters()),
                    frozen=not gradients,
                    kept=_kept_bytes(activations, recomputed),
                    ends_group=bool(unit.emits),
                    inside=activations.saved_bytes,
                    operations=activations.operations,
                )
            )
            feature_units |= dict.fromkeys(own, len(units) - 1)
        features = [emitted[index] for index in sorted(emitted)]
        tail_heads = _peak_of_tail(fake_model, features, samples, fixed_aux, recomputes)
        for aux, feature in movable.items():
            # What it adds to other heads: their peaks do not fall together.
            with_aux = [*fixed_aux, aux]
            extra = _peak_of_tail(fake_model, features, samples, with_aux, recomputes) - tail_heads
            unit = units[feature_units[feature]]
            units[feature_units[feature]] = replace(
                unit,
                auxiliary=unit.auxiliary + extra,
                auxiliary_feature=_num_bytes(tree_leaves(emitted[feature])),
            )
    fixed = shape.copies * _num_bytes(model.parameters()) + _num_bytes([image])
    tail = [model.decode_head, *(auxiliary_heads(model)[aux] for aux in fixed_aux)]
    tail += [model.neck] if model.with_neck else []
    return StepBytes(
        tuple(units),
        tail_heads,
        fixed,
        shape.copies,
        group_size=GROUP_SIZES.get(str(recomputed), 0),
        tail_gradients=sum(_trained_bytes(head.parameters()) for head in tail),
        updates_per_module=updates_per_module,
    )


def _kept_bytes(activations: Activations, recomputed: Recompute) -> int:
    return activations.kept_bytes(cast(Saved, recomputed)) if recomputed in GROUP_SIZES else 0


class _SavedBytes:
    """Context that counts the storages that autograd saves, each once, parameters apart."""

    def __init__(self, model: nn.Module) -> None:
        # The storages are kept, so that no address is used twice.
        self.known = {
            tensor.untyped_storage()._cdata: tensor.untyped_storage()
            for tensor in (*model.parameters(), *model.buffers())
        }
        self.num_bytes = 0

    def __enter__(self) -> None:
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)
        self.hooks.__enter__()

    def __exit__(self, *error: Any) -> None:
        self.hooks.__exit__(*error)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.known:
            self.known[storage._cdata] = storage
            self.num_bytes += storage.nbytes()
        return tensor

    def take(self) -> int:
        """Return the bytes counted since the last call."""
        num_bytes, self.num_bytes = self.num_bytes, 0
        return num_bytes


class _UnitsAlone:
    """Measures units on their own; those that are alike are run once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, Activations]] = {}

    def measure(
        self, backbone: UnrolledBackbone, unit: Unit, state: State
    ) -> tuple[int, Activations]:
        """Return the peak of a unit's passes, and its activations."""
        owned = owned_parameters(backbone, unit.owns)
        inputs = [leaf.shape if isinstance(leaf, Tensor) else leaf for leaf in tree_leaves(state)]
        likeness = str([*inputs, *((p.shape, p.requires_grad) for p in owned.values())])
        if likeness not in self._known:
            start = tree_map_only(Tensor, _leaf, state)
            peak = peak_beyond(lambda: _run_both_ways(backbone, unit, start))
            for parameter in owned.values():
                parameter.grad = None
            self._known[likeness] = peak, measure_activations(partial(unit.apply, backbone), start)
        return self._known[likeness]


class _Root(torch.autograd.Function):
    """Makes the gradients that a backward pass begins with, which nobody else then holds."""

    @staticmethod
    def forward(ctx: Any, *outputs: Tensor) -> Tensor:
        """Return the scalar to call ``backward`` on."""
        ctx.outputs = [(output.shape, output.dtype) for output in outputs]
        return outputs[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """Return a gradient for each output."""
        return tuple(gradient.new_empty(shape, dtype=dtype) for shape, dtype in ctx.outputs)


def _run_both_ways(backbone: UnrolledBackbone, unit: Unit, state: State) -> None:
    outputs = [
        leaf
        for leaf in tree_leaves(unit.apply(backbone, state))
        if isinstance(leaf, Tensor) and leaf.requires_grad
    ]
    if outputs:
        _Root.apply(*outputs).backward()


def _peak_of_heads(
    heads: nn.ModuleList,
    border: Sequence[Tensor],
    samples: list[SegDataSample],
    image: Tensor,
    recomputes: bool,
) -> int:
    leaves = [_leaf(feature) for feature in border]

    def step() -> None:
        losses = [head_losses(head, leaves, samples, image) for head in heads]
        _total(losses).backward()

    return peak_beyond(step, _viewed(heads, leaves) if recomputes else ())


def _peak_of_tail(
    model: EncoderDecoder,
    features: list[Tensor],
    samples: list[SegDataSample],
    aux_heads: Sequence[int],
    recomputes: bool,
) -> int:
    heads = auxiliary_heads(model)

    def step() -> None:
        inputs = model.neck(tuple(features)) if model.with_neck else tuple(features)
        losses = [model._decode_head_forward_train(inputs, samples)]
        losses += [heads[index].loss(inputs, samples, model.train_cfg) for index in aux_heads]
        _total(losses).backward()

    return peak_beyond(step, _viewed(model, features) if recomputes else ())


def _viewed(heads: nn.Module, features: Sequence[Any]) -> list[Tensor]:
    """Return what recomputing makes views of, which are no bytes of the heads' own."""
    return [*tree_leaves(features), *heads.parameters(), *heads.buffers()]


def _total(losses: Sequence[Mapping[str, Tensor]]) -> Tensor:
    values = [value.mean() for part in losses for key, value in part.items() if 'loss' in key]
    return torch.stack(values).sum()


def _leaf(feature: Tensor) -> Tensor:
    return feature.detach().requires_grad_(feature.requires_grad)


def _num_bytes(values: Iterable[Any]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, Tensor))


def _gradient_bytes(backbone: UnrolledBackbone, unit: Unit) -> int:
    return _trained_bytes(owned_parameters(backbone, unit.owns).values())


def _trained_bytes(parameters: Iterable[nn.Parameter]) -> int:
    return _num_bytes(parameter for parameter in parameters if parameter.requires_grad)
