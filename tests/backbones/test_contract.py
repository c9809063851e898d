"""What every backbone wrapper must hold."""

from copy import deepcopy

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_infopro.backbones import UnrolledBackbone, owned_parameters, trace_backbone
from tests.models import BACKBONES, BN, DILATED


def build_backbone(name: str, **overrides):
    torch.manual_seed(0)
    backbone = MODELS.build(
        {'type': name, 'norm_cfg': BN, **DILATED, **BACKBONES[name], **overrides}
    )
    backbone.init_weights()
    for parameter in backbone.parameters():
        if parameter.dim() == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return backbone


def run_units(backbone, image):
    state, features = image, []
    for unit in backbone.units():
        state = unit.apply(backbone, state)
        features += [emit.apply(backbone, state) for emit in unit.emits]
    return features


def test_every_wrapper_is_under_contract():
    wrappers = {
        name
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type) and issubclass(cls, UnrolledBackbone)
    }
    assert wrappers == set(BACKBONES)


@pytest.mark.parametrize('out_indices', [(0, 1, 2, 3), (1, 3), (2,)])
@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('name', BACKBONES)
def test_unrolled_forward_equals_the_parents(name, training, out_indices):
    backbone = build_backbone(name, out_indices=out_indices)
    twin = deepcopy(backbone)
    backbone.train(training)
    twin.train(training)
    image = torch.randn(2, 3, 64, 96)
    expected = super(type(backbone), backbone).forward(image)
    features = run_units(twin, image)
    assert len(features) == len(expected) == len(out_indices)
    assert all(torch.equal(a, b) for a, b in zip(features, expected, strict=True))
    assert all(
        torch.equal(a, b) for a, b in zip(backbone.buffers(), twin.buffers(), strict=True)
    ), 'running statistics differ'


@pytest.mark.parametrize('name', BACKBONES)
def test_parameter_names_are_the_parents(name):
    plain = MODELS.build(
        {'type': name.removeprefix('InfoPro'), 'norm_cfg': BN, **DILATED, **BACKBONES[name]}
    )
    assert list(build_backbone(name).state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize('name', BACKBONES)
def test_units_own_every_parameter_once(name):
    backbone = build_backbone(name)
    owned = [
        parameter
        for unit in backbone.units()
        for owns in (unit.owns, *(emit.owns for emit in unit.emits))
        for parameter in owned_parameters(backbone, owns)
    ]
    assert sorted(owned) == sorted(parameter for parameter, _ in backbone.named_parameters())


@pytest.mark.parametrize('name', BACKBONES)
def test_a_deep_copy_runs_its_own_weights(name):
    backbone = build_backbone(name)
    backbone.eval()
    image = torch.randn(1, 3, 64, 64)
    before = run_units(backbone, image)[-1]
    copy = deepcopy(backbone)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.zero_()
    assert not torch.equal(run_units(copy, image)[-1], before)
    assert torch.equal(run_units(backbone, image)[-1], before)


@pytest.mark.parametrize('name', BACKBONES)
def test_a_layer_replaced_after_construction_is_used(name):
    backbone = build_backbone(name)
    backbone.eval()
    backbone.layer4[-1] = torch.nn.Identity()
    image = torch.randn(1, 3, 64, 64)
    expected = super(type(backbone), backbone).forward(image)[-1]
    assert torch.equal(run_units(backbone, image)[-1], expected)


@pytest.mark.parametrize('name', BACKBONES)
def test_trace_gives_the_real_shapes(name):
    backbone = build_backbone(name)
    trace = trace_backbone(backbone)
    backbone.eval()
    state = torch.randn(1, 3, 128, 128)
    for unit in backbone.units():
        state = unit.apply(backbone, state)
        (shape,) = trace.borders[unit.name]
        assert (shape.channels, 128 / shape.stride) == (state.shape[1], state.shape[-1])


def test_units_of_r101_are_named_as_the_parameters_are():
    backbone = MODELS.build(dict(type='InfoProResNetV1c', depth=101))
    names = [unit.name for unit in backbone.units()]
    assert len(names) == 34
    assert names[0] == 'stem'
    assert names[20] == 'layer3.12'
    assert names[-1] == 'layer4.2'


def test_a_child_config_can_change_any_argument():
    backbone = build_backbone('InfoProResNetV1c', depth=34, frozen_stages=1)
    assert len(backbone.units()) == 17
    assert not any(parameter.requires_grad for parameter in backbone.layer1.parameters())
