"""Who reads which backbone feature, and so which module each auxiliary head trains with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmseg.models.segmentors import EncoderDecoder
from torch import nn

from ..backbones import Feature, FeatureSize
from ..measure.fake import UpperBounds, as_fake


@dataclass(frozen=True)
class FeatureFlow:
    """Which module reads which feature.

    Attributes:
        reads: For each module, the indices of the features that its heads read.
        aux_modules: For each auxiliary head, the module that it trains with.
    """

    reads: tuple[frozenset[int], ...]
    aux_modules: tuple[int, ...]


def auxiliary_heads(model: EncoderDecoder) -> list[Any]:
    """Return the auxiliary heads, none, one or many, as a list."""
    if not model.with_auxiliary_head:
        return []
    heads = model.auxiliary_head
    return list(heads) if isinstance(heads, nn.ModuleList) else [heads]


def neck_and_heads(model: EncoderDecoder) -> list[nn.Module]:
    """Return all that a segmentor runs after its backbone: neck, heads, local heads."""
    apart = ('backbone', 'data_preprocessor')
    return [child for name, child in model.named_children() if name not in apart]


def trace_feature_flow(
    model: EncoderDecoder,
    samples: Sequence[FeatureSize],
    emitted_by: Sequence[int],
    emit_has_parameters: Sequence[bool],
    num_modules: int,
) -> FeatureFlow:
    """Find out which features neck and heads read, by running them on fake tensors.

    An auxiliary head whose features all come from one local module trains with it; every other
    head trains in the tail, as all do behind a neck. A feature whose emit has parameters belongs
    to one module only: to the tail, where the tail reads it too.

    Args:
        model: The segmentor, built.
        samples: Shapes ``(B, C, H, W)`` that the features may have.
        emitted_by: The module that emits each feature.
        emit_has_parameters: Whether the emit of each feature has parameters.
        num_modules: K.
    """
    tail = num_modules - 1
    reads: list[set[int]] = [set() for _ in range(num_modules)]
    tail_reads, aux_reads = features_read(model, samples)
    reads[tail] |= tail_reads
    shared = {index for index in tail_reads if emit_has_parameters[index]}
    aux_modules = []
    for head_reads in aux_reads:
        emitters = {emitted_by[index] for index in head_reads}
        module = emitters.pop() if len(emitters) == 1 and not head_reads & shared else tail
        aux_modules.append(module)
        reads[module] |= head_reads
    return FeatureFlow(tuple(map(frozenset, reads)), tuple(aux_modules))


def features_read(
    model: EncoderDecoder, samples: Sequence[FeatureSize]
) -> tuple[frozenset[int], list[frozenset[int]]]:
    """Return the features that the tail reads in any case, and each auxiliary head's.

    Behind a neck, which reads for all of them, an auxiliary head reads no feature itself.
    """
    heads = auxiliary_heads(model)
    if model.with_neck:
        return _features_read(model.neck, samples), [frozenset()] * len(heads)
    return _features_read(model.decode_head, samples), [_features_read(h, samples) for h in heads]


class _RecordedFeatures(tuple[Feature, ...]):
    """Features that remember which of them were read."""

    reads: set[int]

    def __getitem__(self, index: Any) -> Any:
        positions = range(len(self))[index]
        self.reads.update([positions] if isinstance(positions, int) else positions)
        return super().__getitem__(index)

    def __iter__(self) -> Iterator[Feature]:
        self.reads.update(range(len(self)))
        return super().__iter__()


def _features_read(reader: nn.Module, samples: Sequence[FeatureSize]) -> frozenset[int]:
    """Run a reader as in training: some read more then than in prediction."""
    fake_reader, mode = as_fake(reader)
    fake_reader.train()
    with mode, torch.no_grad(), UpperBounds():
        features = _RecordedFeatures(map(_empty, samples))
        features.reads = set()
        try:
            _decode(fake_reader, features)
        except Exception as error:
            MMLogger.get_current_instance().warning(
                f'{type(reader).__name__} could not be traced ({error}); all features are kept '
                'for it'
            )
            return frozenset(range(len(samples)))
    return frozenset(features.reads)


def _empty(sample: FeatureSize) -> Feature:
    return list(map(torch.empty, sample)) if isinstance(sample, list) else torch.empty(sample)


def _decode(reader: nn.Module, features: tuple[Feature, ...]) -> None:
    """Run a neck, a head, or the heads of a cascade."""
    if not isinstance(reader, nn.ModuleList):
        reader(features)
        return
    output = reader[0](features)
    for head in reader[1:]:
        output = head(features, output)
