"""Training of a small segmentor as a Runner does it, and written out with autograd alone."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from mmengine.optim import build_optim_wrapper
from torch import Tensor

from tests.cpu_amp import CpuAmpOptimWrapper
from tests.models import BN, batch, build, model_config

BOUNDARY = 'layer2.1'
TWO = dict(
    boundaries=[BOUNDARY],
    heads=[dict(type='FCNHead', channels=8, num_convs=1, concat_input=False, dropout_ratio=0)],
)
LR, MOMENTUM, STEPS = 0.05, 0.9, 4
SGD = dict(type='SGD', lr=LR, momentum=MOMENTUM, weight_decay=1e-3)
AMP = dict(type=CpuAmpOptimWrapper.__name__)
CUSTOM_KEYS = {
    'backbone.stem': dict(lr_mult=0.1),
    'backbone.layer1': dict(lr_mult=0.2, decay_mult=0.5),
    'local_heads': dict(lr_mult=2.0),
    'conv_seg': dict(lr_mult=10.0, decay_mult=0.0),
}


def model_of(local: Any, norm: dict[str, Any] = BN, **backbone: Any) -> Any:
    cfg = model_config(local=local, norm=norm)
    cfg['backbone'].update(backbone)
    return build(cfg)


def train(model: Any, **wrapper: Any) -> list[dict[str, Tensor]]:
    """Train as a Runner does; return what is logged."""
    optim_wrapper = build_optim_wrapper(model, dict(optimizer=dict(SGD), **wrapper))
    return [model.train_step(batch(size=32, seed=step), optim_wrapper) for step in range(STEPS)]


def loss_by_hand(model: Any, data: dict[str, Any]) -> Tensor:
    """Sum the losses of two modules in one graph that is cut at the border."""
    data = model.data_preprocessor(deepcopy(data), True)
    backbone, samples = model.backbone, data['data_samples']
    border = backbone.layer2(backbone.layer1(backbone.maxpool(backbone.stem(data['inputs']))))
    third = backbone.layer3(border.detach())
    features = [None, None, third, backbone.layer4(third)]
    (local_head,) = model.local_heads['layer2-1']
    losses = [
        local_head.loss([border], samples, {}),
        model.decode_head.loss(features, samples, {}),
        model.auxiliary_head.loss(features, samples, {}),
    ]
    return torch.stack([head_losses['loss_ce'] for head_losses in losses]).sum()


def train_by_hand(
    model: Any,
    groups: Any = None,
    max_norm: float | None = None,
    accumulate: int = 1,
    autocast: bool = False,
) -> None:
    """Train with torch alone."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(groups or parameters, LR, MOMENTUM, weight_decay=1e-3)
    for step in range(STEPS):
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            loss = loss_by_hand(model, batch(size=32, seed=step))
        (loss / accumulate).backward()
        if (step + 1) % accumulate:
            continue
        if max_norm is not None:
            norm = torch.stack([p.grad.square().sum() for p in parameters]).sum().sqrt()
            for parameter in parameters:
                parameter.grad.mul_(min(1.0, max_norm / norm.item()))
        optimizer.step()
        optimizer.zero_grad()


def groups_by_hand(model: Any) -> list[dict[str, Any]]:
    """What the custom keys say; the longest key that occurs in a name counts."""

    def settings(name: str) -> tuple[float, float]:
        if 'backbone.stem' in name:
            return 0.1 * LR, 1e-3
        if 'backbone.layer1' in name:
            return 0.2 * LR, 0.5e-3
        if 'local_heads' in name:
            return 2.0 * LR, 1e-3
        return (10.0 * LR, 0.0) if 'conv_seg' in name else (LR, 1e-3)

    return [
        dict(params=[parameter], lr=settings(name)[0], weight_decay=settings(name)[1])
        for name, parameter in model.named_parameters()
    ]


def assert_close(model: Any, twin: Any, rtol: float = 1e-4, atol: float = 1e-5) -> None:
    actual, expected = model.state_dict(), twin.state_dict()
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=rtol, atol=atol, msg=name)
