"""Views of a cut model: which units, heads, features and parameters belong to which module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..backbones import (
    BackboneTrace,
    Emit,
    Unit,
    is_below,
    numbered_emits,
    owned_parameters,
)
from ..recompute.groups import Recompute, RecomputeGroup, check_groups, module_groups
from .feature_flow import trace_feature_flow
from .modular import Modular
from .names import boundary_key
from .thaw import may_thaw


@dataclass(frozen=True)
class UnitGroup:
    """Consecutive units of a module that recompute together.

    Attributes:
        units: In order.
        emits: Of the last one, with the indices of their features.
        saved: As for :class:`RecomputeGroup`.
        norms: Paths in the backbone of the layers with running statistics.
    """

    units: tuple[Unit, ...]
    emits: tuple[tuple[int, Emit], ...]
    saved: str | Mapping[int, str]
    norms: tuple[str, ...]


@dataclass(frozen=True)
class LocalModule:
    """A view of one local module: which units, auxiliary heads and features are its own.

    Paths stand for layers: a Runner may replace them, and a copy of the model has its own.

    Attributes:
        index: Number of the module; K-1 is the tail.
        start: Its first unit.
        stop: One past its last unit.
        aux_heads: Auxiliary heads that train with it.
        reads: Features that its heads read.
        frozen: None of its units has anything to train: it runs without a graph and has no local
            heads.
        groups: Its units, as they recompute.
        whole_groups: Its units, as they recompute in a pass of several modules that does.
    """

    index: int
    start: int
    stop: int
    aux_heads: tuple[int, ...]
    reads: frozenset[int]
    frozen: bool
    groups: tuple[UnitGroup, ...]
    whole_groups: tuple[UnitGroup, ...]


def cut_model(
    model: Any,
    boundaries: Sequence[str],
    trace: BackboneTrace,
    recompute: Recompute = 'none',
    recompute_whole: Recompute = 'module',
) -> tuple[LocalModule, ...]:
    """Return the views of the modules between the boundaries.

    Args:
        model: A segmentor on an unrolled backbone.
        boundaries: In order.
        trace: Of the backbone.
        recompute: ``local.recompute``.
        recompute_whole: The same for passes of several modules that recompute; ``'module'`` keeps
            what a module starts from and what its heads read.

    Raises:
        ValueError: ``recompute`` lists groups that are not of this partition.
    """
    units = model.backbone.units()
    names = [unit.name for unit in units]
    check_groups(recompute, names)
    check_groups(recompute_whole, names)
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
    norms = _norm_paths(model.backbone)

    def groups(start: int, stop: int, recompute: Recompute) -> tuple[UnitGroup, ...]:
        span = units[start:stop]
        found = module_groups(names[start:stop], [bool(unit.emits) for unit in span], recompute)
        return tuple(_unit_groups(span, numbered[start:stop], found, norms))

    return tuple(
        LocalModule(
            index,
            start,
            stop,
            tuple(aux for aux, module in enumerate(flow.aux_modules) if module == index),
            flow.reads[index],
            frozen=not trains(model, units[start:stop]),
            groups=groups(start, stop, recompute),
            whole_groups=groups(start, stop, recompute_whole),
        )
        for index, (start, stop) in enumerate(spans)
    )


def _unit_groups(
    units: Sequence[Unit],
    emits: Sequence[Sequence[tuple[int, Emit]]],
    groups: Sequence[RecomputeGroup],
    norms: Sequence[str],
) -> list[UnitGroup]:
    ends = {unit.name: position for position, unit in enumerate(units, start=1)}
    found, start = [], 0
    for group in groups:
        end = ends[group.end]
        owns = tuple(path for unit in units[start:end] for path in unit.owns)
        found.append(
            UnitGroup(
                tuple(units[start:end]),
                tuple(emits[end - 1]),
                group.saved,
                tuple(name for name in norms if is_below(name, owns)),
            )
        )
        start = end
    return found


def _norm_paths(module: nn.Module) -> list[str]:
    """Return the paths of the layers that keep running statistics."""
    return [
        name
        for name, layer in module.named_modules()
        if getattr(layer, 'running_mean', None) is not None
    ]


def trains(model: Any, units: Sequence[Unit]) -> bool:
    """Whether anything in some units trains, or may be thawed."""
    owns = [path for unit in units for path in unit.owns]
    owns += [path for unit in units for emit in unit.emits for path in emit.owns]
    patterns = getattr(model, 'may_thaw', ())
    return any(
        parameter.requires_grad or may_thaw(f'backbone.{name}', patterns)
        for name, parameter in owned_parameters(model.backbone, owns).items()
    )


def module_paths(model: Modular, index: int) -> list[str]:
    """Return the paths of layers and bare parameters that one module's view consists of."""
    module, tail = model.local_modules[index], len(model.boundaries)
    units = [unit for view in model.local_modules for group in view.groups for unit in group.units]
    owns = [f'backbone.{path}' for unit in units[module.start : module.stop] for path in unit.owns]
    owners = [view for view in model.local_modules for _ in range(view.start, view.stop)]
    for emits, owner in zip(numbered_emits(units), owners, strict=True):
        for feature, emit in emits:
            reader = owner.index if feature in owner.reads else tail
            owns += [f'backbone.{path}' for path in emit.owns if reader == index]
    heads = getattr(model, 'auxiliary_head', None)
    many = isinstance(heads, nn.ModuleList)
    owns += [f'auxiliary_head.{aux}' if many else 'auxiliary_head' for aux in module.aux_heads]
    if index:
        owns.append(f'context.{boundary_key(model.boundaries[index - 1])}')
    if index == tail:
        owns += ['neck', 'decode_head']
    else:
        owns.append(f'local_heads.{boundary_key(model.boundaries[index])}')
    return owns


def module_parameters(model: Modular, index: int) -> dict[str, nn.Parameter]:
    """Return the parameters of one module's view by name; the views partition the model's."""
    if not model.boundaries:
        return dict(model.named_parameters())
    return owned_parameters(model, module_paths(model, index))  # type: ignore[arg-type]


def module_layers(model: Modular, index: int) -> Mapping[str, nn.Module]:
    """Return all layers of one module's view by path, heads included."""
    layers: dict[str, nn.Module] = {}
    for path in module_paths(model, index):
        try:
            layer = model.get_submodule(path)
        except AttributeError:  # a bare parameter, or a part that the model does without
            continue
        layers |= {f'{path}.{name}' if name else path: part for name, part in layer.named_modules()}
    return layers
