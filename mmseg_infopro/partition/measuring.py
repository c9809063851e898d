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
from ..memory import Saved, fake_copy, measure_activations, peak_beyond
from .feature_flow import auxiliary_heads, features_read
from .grouping import GROUP_SIZES
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
    recomputed: str = 'none',
) -> StepBytes:
    """Return the bytes of every unit and of the heads.

    Args:
        model: A segmentor on an unrolled backbone; a throw-away fake copy of it runs.
        head_cfgs: ``local.heads``.
        head_defaults: What the model fills in for them.
        shape: Of the step.
        recomputed: ``local.recompute``.
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
    with mode, shape.autocast_context():
        samples = training_batch(shape)['data_samples']
        state = image = torch.empty(shape.batch_size, shape.in_channels, *shape.crop)
        backbone, saved = fake_model.backbone, _SavedBytes(fake_model)
        units: list[UnitBytes] = []
        emitted: dict[int, Tensor] = {}
        feature_units: dict[int, int] = {}
        peaks: dict[tuple[FeatureShape, ...], int] = {}
        alone = _UnitsAlone(recomputed)
        all_units = backbone.units()
        for unit, emits in zip(all_units, numbered_emits(all_units), strict=True):
            own_peak, kept = alone.measure(backbone, unit, state)
            with saved:
                state = unit.apply(backbone, state)
            border = trace.borders[unit.name]
            if border not in peaks:
                border_features = backbone.border_features(state)
                peaks[border] = _peak_of_heads(heads[border], border_features, samples, image)
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
                    kept=kept,
                    ends_group=bool(unit.emits),
                )
            )
            feature_units |= dict.fromkeys(own, len(units) - 1)
        features = [emitted[index] for index in sorted(emitted)]
        tail_heads = _peak_of_tail(fake_model, features, samples, fixed_aux)
        for aux, feature in movable.items():
            # What it adds to other heads: their peaks do not fall together.
            extra = _peak_of_tail(fake_model, features, samples, [*fixed_aux, aux]) - tail_heads
            unit = units[feature_units[feature]]
            units[feature_units[feature]] = replace(unit, auxiliary=unit.auxiliary + extra)
    fixed = shape.copies * _num_bytes(model.parameters()) + _num_bytes([image])
    group_size = GROUP_SIZES[recomputed] if recomputed != 'none' else 0
    return StepBytes(tuple(units), tail_heads, fixed, shape.copies, group_size)


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

    def __init__(self, recomputed: str) -> None:
        self._recomputed = recomputed
        self._known: dict[str, tuple[int, int]] = {}

    def measure(self, backbone: UnrolledBackbone, unit: Unit, state: State) -> tuple[int, int]:
        """Return the peak of a unit's passes, and what it keeps between them if it recomputes."""
        owned = owned_parameters(backbone, unit.owns)
        inputs = [leaf.shape if isinstance(leaf, Tensor) else leaf for leaf in tree_leaves(state)]
        likeness = str([*inputs, *((p.shape, p.requires_grad) for p in owned.values())])
        if likeness not in self._known:
            start = tree_map_only(Tensor, _leaf, state)
            peak = peak_beyond(lambda: _run_both_ways(backbone, unit, start))
            for parameter in owned.values():
                parameter.grad = None
            self._known[likeness] = peak, self._kept(backbone, unit, start)
        return self._known[likeness]

    def _kept(self, backbone: UnrolledBackbone, unit: Unit, state: State) -> int:
        if self._recomputed == 'none':
            return 0
        activations = measure_activations(partial(unit.apply, backbone), state)
        return activations.kept_bytes(cast(Saved, self._recomputed))


def _run_both_ways(backbone: UnrolledBackbone, unit: Unit, state: State) -> None:
    outputs = [
        leaf
        for leaf in tree_leaves(unit.apply(backbone, state))
        if isinstance(leaf, Tensor) and leaf.requires_grad
    ]
    if outputs:
        torch.autograd.backward(outputs, [torch.empty_like(output) for output in outputs])


def _peak_of_heads(
    heads: nn.ModuleList, border: Sequence[Tensor], samples: list[SegDataSample], image: Tensor
) -> int:
    leaves = [_leaf(feature) for feature in border]

    def step() -> None:
        losses = [head_losses(head, leaves, samples, image) for head in heads]
        _total(losses).backward()

    return peak_beyond(step)


def _peak_of_tail(
    model: EncoderDecoder,
    features: list[Tensor],
    samples: list[SegDataSample],
    aux_heads: Sequence[int],
) -> int:
    heads = auxiliary_heads(model)

    def step() -> None:
        inputs = model.neck(tuple(features)) if model.with_neck else tuple(features)
        losses = [model._decode_head_forward_train(inputs, samples)]
        losses += [heads[index].loss(inputs, samples, model.train_cfg) for index in aux_heads]
        _total(losses).backward()

    return peak_beyond(step)


def _total(losses: Sequence[Mapping[str, Tensor]]) -> Tensor:
    values = [value.mean() for part in losses for key, value in part.items() if 'loss' in key]
    return torch.stack(values).sum()


def _leaf(feature: Tensor) -> Tensor:
    return feature.detach().requires_grad_(feature.requires_grad)


def _num_bytes(values: Iterable[Any]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, Tensor))


def _gradient_bytes(backbone: UnrolledBackbone, unit: Unit) -> int:
    owned = owned_parameters(backbone, unit.owns)
    return _num_bytes(parameter for parameter in owned.values() if parameter.requires_grad)
