"""A cut network as formulas have it: modules f_k and losses l_k, for plain autograd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from mmseg_infopro.backbones import numbered_emits
from tests.models import BN, HEADS, NUM_CLASSES, batch, build, model_config

RESNET = {2: ['layer2.1'], 3: ['layer1.1', 'layer2.1'], 4: ['layer1.1', 'layer2.1', 'layer3.1']}
SWIN = {
    2: ['stages.1.blocks.1'],
    3: ['stages.0.blocks.0', 'stages.1.blocks.1'],
    4: ['stages.0.blocks.0', 'stages.1.blocks.1', 'stages.2.blocks.0'],
}


def resnet_config(num_modules: int, **local: Any) -> dict[str, Any]:
    """Return an FCN on a ResNet with an auxiliary head."""
    return model_config(local=dict(boundaries=RESNET[num_modules], **local))


def swin_config(num_modules: int, **local: Any) -> dict[str, Any]:
    """Return a UPerNet, whose decoder reads all four stages of a Swin Transformer."""
    head = dict(num_classes=NUM_CLASSES, norm_cfg=BN, channels=8, dropout_ratio=0)
    return dict(
        type='InfoProEncoderDecoder',
        data_preprocessor=model_config()['data_preprocessor'],
        backbone=dict(
            type='InfoProSwinTransformer',
            embed_dims=16,
            depths=(1, 2, 1, 1),
            num_heads=(1, 2, 2, 2),
            window_size=4,
            drop_path_rate=0.0,
            pretrain_img_size=32,
        ),
        decode_head=dict(
            head, type='UPerHead', in_channels=[16, 32, 64, 128], in_index=[0, 1, 2, 3],
            pool_scales=(1, 2), align_corners=False,
        ),
        auxiliary_head=dict(
            head, type='FCNHead', in_channels=64, in_index=2, num_convs=1, concat_input=False,
            loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4),
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
        local={'heads': HEADS, 'boundaries': SWIN[num_modules], **local},
    )  # fmt: skip


CONFIGS = {'resnet': resnet_config, 'swin': swin_config}


def stop(state: Any) -> Any:
    """Detach: the sg of formulas."""
    return tree_map_only(Tensor, Tensor.detach, state)


class Formula:
    """The modules and losses of a model, without the package's forward pass and step.

    Attributes:
        image: The normalized batch.
        num_modules: K.
    """

    def __init__(self, model: Any, size: int = 64) -> None:
        self.model = model
        data = model.data_preprocessor(batch(size=size), True)
        self.image, self.samples = data['inputs'], data['data_samples']
        units = model.backbone.units()
        names = [unit.name for unit in units]
        stops = [names.index(name) + 1 for name in model.boundaries]
        self.spans = list(zip([0, *stops], [*stops, len(units)], strict=True))
        self.units, self.emits = units, numbered_emits(units)
        self.num_modules = len(self.spans)

    def f(self, index: int, state: Any) -> tuple[Any, dict[int, Any]]:
        """Return h_k and, for each feature that is read off module k, the state it is read off."""
        read_off = {}
        for position in range(*self.spans[index]):
            state = self.units[position].apply(self.model.backbone, state)
            read_off |= {number: state for number, _ in self.emits[position]}
        return state, read_off

    def features(self, read_off: dict[int, Any]) -> tuple[Any, ...]:
        """Return features by index, None for those that are not there yet."""
        emits = {number: emit for own in self.emits for number, emit in own}
        return tuple(
            emits[i].apply(self.model.backbone, read_off[i]) if i in read_off else None
            for i in range(4)
        )

    def local(self, index: int, state: Any) -> Tensor:
        """Return l_k of a local module without auxiliary heads."""
        heads = self.model.local_heads[self.model.boundaries[index].replace('.', '-')]
        border = self.model.backbone.border_features(state)
        task, reconstruction = heads
        losses = task.loss(border, self.samples, {})['loss_ce']
        return losses + reconstruction.loss(border, self.samples, {}, self.image)['loss_rec']

    def loss(self, index: int, state: Any, read_off: dict[int, Any]) -> Tensor:
        """Return l_k: of the local heads or the decode head, and of an auxiliary head of it.

        The auxiliary head trains where its feature is made, or with the decode head if the feature
        has a norm, which both read.

        Args:
            index: k.
            state: h_k.
            read_off: What the features are read off: of module k, for the tail of all modules.
        """
        is_tail, features = index == self.num_modules - 1, self.features(read_off)
        emits = {n: (e, m) for m in range(self.num_modules) for n, e in self._emits_of(m)}
        emit, maker = emits[2]
        if index == (self.num_modules - 1 if emit.owns else maker):
            auxiliary = self.model.auxiliary_head.loss(features, self.samples, {})['loss_ce']
        else:
            auxiliary = 0.0
        if not is_tail:
            return self.local(index, state) + auxiliary
        return self.model.decode_head.loss(features, self.samples, {})['loss_ce'] + auxiliary

    def _emits_of(self, index: int) -> list[tuple[int, Any]]:
        return [emit for position in range(*self.spans[index]) for emit in self.emits[position]]


def gradients_of(model: Any, loss: Tensor) -> dict[str, Tensor]:
    """Return the gradients of a loss by plain autograd."""
    names, parameters = zip(
        *((n, p) for n, p in model.named_parameters() if p.requires_grad), strict=True
    )
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {name: g for name, g in zip(names, found, strict=True) if g is not None}


def assert_close(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Check that the same parameters got the same gradients."""
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def twins(kind: str, num_modules: int, **local: Any) -> tuple[Any, Any]:
    """Return two equal models: one for the step, one for the formula."""
    cfg = CONFIGS[kind](num_modules, **local)
    return build(cfg), build(cfg)
