"""Views of a cut model: which units, heads, features and parameters belong to which module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from ..backbones import BackboneTrace, Unit, UnrolledBackbone, numbered_emits, owned_parameters
from ..recompute.groups import Recompute, RecomputeGroup, check_groups, module_groups
from .feature_flow import trace_feature_flow
from .names import heads_key

if TYPE_CHECKING:
    from ..segmentors.encoder_decoder import InfoProEncoderDecoder


@dataclass(frozen=True)
class LocalModule:
    """A view of one local module: which units, auxiliary heads and features are its own.

    Attributes:
        index: Number of the module; K-1 is the tail.
        start: Its first unit.
        stop: One past its last unit.
        aux_heads: Auxiliary heads that train with it.
        reads: Features that its heads read.
        frozen: None of its units has anything to train: it runs without a graph and has no local
            heads.
        groups: Of its units, which recompute together.
    """

    index: int
    start: int
    stop: int
    aux_heads: tuple[int, ...]
    reads: frozenset[int]
    frozen: bool
    groups: tuple[RecomputeGroup, ...]


def cut_model(
    model: InfoProEncoderDecoder,
    boundaries: Sequence[str],
    trace: BackboneTrace,
    recompute: Recompute = 'none',
) -> tuple[LocalModule, ...]:
    """Return the views of the modules between the boundaries.

    Raises:
        ValueError: ``recompute`` lists groups that are not of this partition.
    """
    units = model.backbone.units()
    names = [unit.name for unit in units]
    check_groups(recompute, names)
    stops = [names.index(boundary) + 1 for boundary in boundaries]
    spans = list(zip([0, *stops], [*stops, len(units)], strict=True))
    numbered = numbered_emits(units)
    emitted = {
        feature: (index, emit)
        for index, (start, stop) in enumerate(spans)
        for emits in numbered[start:stop]
        for feature, emit in emits
    }
    in_order = [emitted[feature] for feature in sorted(emitted)]
    flow = trace_feature_flow(
        model,
        trace.samples,
        emitted_by=[index for index, _ in in_order],
        emit_has_parameters=[bool(emit.owns) for _, emit in in_order],
        num_modules=len(spans),
    )
    return tuple(
        LocalModule(
            index,
            start,
            stop,
            tuple(aux for aux, module in enumerate(flow.aux_modules) if module == index),
            flow.reads[index],
            frozen=not _trains(model.backbone, units[start:stop]),
            groups=module_groups(
                names[start:stop], [bool(unit.emits) for unit in units[start:stop]], recompute
            ),
        )
        for index, (start, stop) in enumerate(spans)
    )


def _trains(backbone: UnrolledBackbone, units: Sequence[Unit]) -> bool:
    owns = [path for unit in units for path in unit.owns]
    owns += [path for unit in units for emit in unit.emits for path in emit.owns]
    return any(p.requires_grad for p in owned_parameters(backbone, owns).values())


def module_parameters(model: InfoProEncoderDecoder, index: int) -> dict[str, nn.Parameter]:
    """Return the parameters of one module's view by name; the views partition the model's."""
    if not model.boundaries:
        return dict(model.named_parameters())
    module, tail = model.local_modules[index], len(model.boundaries)
    units = model.backbone.units()
    owns = [f'backbone.{path}' for unit in units[module.start : module.stop] for path in unit.owns]
    owners = [view for view in model.local_modules for _ in range(view.start, view.stop)]
    for emits, owner in zip(numbered_emits(units), owners, strict=True):
        for feature, emit in emits:
            reader = owner.index if feature in owner.reads else tail
            owns += [f'backbone.{path}' for path in emit.owns if reader == index]
    many = model.with_auxiliary_head and isinstance(model.auxiliary_head, nn.ModuleList)
    owns += [f'auxiliary_head.{aux}' if many else 'auxiliary_head' for aux in module.aux_heads]
    if index == tail:
        owns += ['neck', 'decode_head']
    else:
        owns.append(f'local_heads.{heads_key(model.boundaries[index])}')
    return owned_parameters(model, owns)
