"""Fake copies of a model and of local heads for all of its borders, which run unit by unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, cast

import torch
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor

from ..backbones import State, numbered_emits, owned_parameters, trace_backbone
from ..backbones.residuals import apply_measuring
from ..local.context import build_contexts
from ..local.feature_flow import neck_and_heads
from ..local.thaw import thaw
from ..local_heads.border import borders_of
from ..local_heads.bounded_loss import bound_losses
from ..local_heads.building import build_local_heads
from ..local_heads.filling import takes_border
from ..measure.dry_step import peak_beyond
from ..measure.fake import fake_copy
from ..measure.undrawn import undrawn_weights
from ..measure.work import Work
from ..recompute.groups import GROUP_SIZES, Recompute
from ..recompute.operations import Activations, Saved
from ..upstream import FakeTensorMode, storage_id, tree_leaves, tree_map_only
from .batch import StepShape, map_bytes, training_batch
from .costs import UnitBytes
from .feature_reads import FeatureReads
from .head_peaks import NO_COSTS, HeadCosts, costs_of_auxiliary, costs_of_heads, costs_of_tail
from .state_ages import StateAges
from .unit_bytes import (
    SavedBytes,
    as_leaf,
    by_storage,
    float_bytes,
    gradient_bytes,
    num_bytes,
    offloaded,
)
from .units_alone import UnitsAlone


class UnitMeasurement:
    """Fake copies of a model and of local heads for all of its borders, and a run of its units.

    Args:
        model, head_cfgs, head_defaults, shape, recomputed, offloads: As for :func:`measure_step`.

    Attributes:
        reads: The features, and who reads them.
        batch_bytes: Of the images, as loaded and normalized, and of the label maps.
        measures: Whether a head asks how large residual branches are.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        head_cfgs: Sequence[Mapping[str, Any]],
        head_defaults: Mapping[str, Any],
        shape: StepShape,
        recomputed: Recompute,
        offloads: bool,
    ) -> None:
        self.recomputed, self.offloads = recomputed, offloads
        self.mode = FakeTensorMode()
        self.model = fake_copy(model, self.mode)
        bound_losses(self.model, source=model)
        self.model.train()
        self.trace = trace_backbone(self.model.backbone, shape.in_channels)
        self.reads = FeatureReads(self.model, self.trace.samples)
        names = [unit.name for unit in model.backbone.units()][:-1]
        borders = borders_of(model.backbone, self.trace, names, shape.in_channels, planned=False)
        self.apart = takes_border(head_cfgs)
        self.heads = {}
        for key, border in {self._key(item.boundary): item for item in borders}.items():
            with undrawn_weights():
                built = build_local_heads(head_cfgs, border, head_defaults)
            bound_losses(built)
            self.heads[key] = fake_copy(built, self.mode)  # real ones of one border at a time
        self.measures = any(
            getattr(head, 'reads_residuals', False)
            for heads in self.heads.values()
            for head in heads
        )
        self.recomputes = recomputed != 'none'
        run_after = [*self.heads.values(), *neck_and_heads(self.model)]
        self.recomputed_heads = run_after if self.recomputes else []
        with self.mode:
            batch = training_batch(shape)
            self.samples = batch['data_samples']
            self.image = torch.empty(shape.batch_size, shape.in_channels, *shape.crop)
        # The preprocessor pads: maps are there as loaded and as read.
        self.batch_bytes = num_bytes([self.image, *batch['inputs']]) + 2 * map_bytes(self.samples)
        self.contexts: dict[str, Any] = {}
        self.head_costs: dict[Any, HeadCosts] = {}
        # Last: training mode, which a trace sets too, freezes stages anew.
        thaw(self.model, getattr(model, 'may_thaw', ()))

    def add_contexts(self, cfg: Mapping[str, Any] | None, defaults: Mapping[str, Any]) -> None:
        """Measure contexts behind every unit, as if each one before were a module of its own."""
        names, states = list(self.trace.states)[:-1], self.trace.states
        backbone = type(self.model.backbone).__name__
        for before, name in pairwise(names):
            entries = [states[''], states[before], states[name]]
            built = build_contexts(cfg, entries, [(2, name)], defaults, backbone)
            for context in built.values():
                self.contexts[name] = fake_copy(context, self.mode)

    def _bytes_of_context(self, name: str, before: Any, state: Any) -> int:
        """Return what a context holds in a module that begins behind a unit."""
        if name not in self.contexts:
            return 0
        context = self.contexts[name]
        kept = [self.image, before][2 - min(2, context.history) :]
        start = tree_map_only(Tensor, as_leaf, state)
        there = [leaf for leaf in tree_leaves([state, kept]) if isinstance(leaf, Tensor)]
        peak = peak_beyond(lambda: context(start, self.image, kept), there)
        return peak + context.history * num_bytes(tree_leaves(before))

    def _parameters_at(self, name: str) -> int:
        """Return the bytes of the parameters of local heads and context behind a unit."""
        context = self.contexts.get(name)
        heads = self.heads.get(self._key(name))  # the last unit ends the tail
        return sum(num_bytes(part.parameters()) for part in (heads, context) if part is not None)

    def _key(self, boundary: str) -> Any:
        """Return what borders with equal heads have in common."""
        return boundary if self.apart else self.trace.borders[boundary]

    def units(self) -> list[UnitBytes]:
        """Run all units, and return the bytes of each; those of auxiliary heads are missing."""
        backbone, state = self.model.backbone, self.image
        saved = SavedBytes([*self.model.parameters(), *self.model.buffers()])
        alone, ages = UnitsAlone(self.recomputed), StateAges(state)
        measured: list[UnitBytes] = []
        entry = [self.image]
        units = backbone.units()
        for unit, emits in zip(units, numbered_emits(units), strict=True):
            # Of the units that the tail will have, too, which no head asks about.
            run = partial(apply_measuring, unit) if self.measures else unit.apply
            needs = alone.measure(backbone, replace(unit, apply=run), state)
            activations = needs.activations
            before = state
            with saved:
                left: Any = run(backbone, state)
            state = left[0] if self.measures else left
            read = self.reads.add(emits, state, len(measured))
            border = backbone.border_features(state)
            heads = self.heads.get(self._key(unit.name))  # the last unit ends the tail
            head_costs = self._costs_of(unit.name, state, entry) if heads else NO_COSTS
            gradients = gradient_bytes(backbone, unit)
            saved_bytes, small = saved.take()
            held = by_storage(read)
            held.pop(storage_id(self.image.untyped_storage()), None)
            measured.append(
                UnitBytes(
                    unit.name,
                    saved=saved_bytes,
                    state=num_bytes(tree_leaves(state)),
                    carried=ages.carried(state),
                    context=self._bytes_of_context(unit.name, before, state),
                    gradients=gradients,
                    state_floats=float_bytes(tree_leaves(state)),
                    retained=num_bytes(held.values()),
                    shared=num_bytes(held[key] for key in by_storage(state).keys() & held.keys()),
                    retained_floats=float_bytes(held.values()),
                    heads=head_costs.peak,
                    heads_saved=head_costs.saved,
                    backward=needs.peak,
                    released=needs.released,
                    head_parameters=self._parameters_at(unit.name),
                    frozen=not gradients,
                    kept=_kept_bytes(activations, self.recomputed),
                    ends_group=bool(unit.emits),
                    inside=activations.saved_bytes,
                    operations=activations.operations,
                    cheap=needs.cheap,
                    by_layers=needs.by_layers,
                    by_layers_flops=needs.by_layers_flops,
                    parameters=num_bytes(owned_parameters(backbone, unit.owns).values()),
                    forward_work=needs.forward,
                    backward_work=needs.backward + _repeated(needs.forward, self.recomputed),
                    heads_work=head_costs.work,
                    reads_image=any(getattr(head, 'reads_image', False) for head in heads or ()),
                )
            )
            if self.offloads:
                measured[-1] = offloaded(measured[-1], small, self.recomputes)
            entry = border
        return measured

    def _costs_of(self, boundary: str, state: State, entry: Sequence[Tensor]) -> HeadCosts:
        key = self._key(boundary)
        if key not in self.head_costs:
            heads = self.heads[key]
            self.head_costs[key] = costs_of_heads(
                heads, self.model.backbone, state, self.samples, self.image, entry, self.recomputes
            )
        return self.head_costs[key]

    def costs_of_tail(self) -> HeadCosts:
        """Return what is behind the backbone, but for auxiliary heads that may move, needs."""
        read, heads = self.reads.of_tail(), self.reads.fixed_aux
        return costs_of_tail(self.model, read, self.samples, heads, self.recomputes)

    def costs_of_auxiliary(self, aux: int) -> HeadCosts:
        """Return what an auxiliary head that may move needs."""
        read = self.reads.of_auxiliary(aux)
        return costs_of_auxiliary(self.model, read, self.samples, aux, self.recomputes)


def _kept_bytes(activations: Activations, recomputed: Recompute) -> int:
    return activations.kept_bytes(cast(Saved, recomputed)) if recomputed in GROUP_SIZES else 0


def _repeated(forward: Work, recomputed: Recompute) -> Work:
    """Return the work of a unit's forward pass that its backward pass does again.

    Of ``'auto'`` that is not known yet.
    """
    if recomputed == 'cheap':
        return Work(0, forward.moved)
    return forward if recomputed == 'units' else Work()
