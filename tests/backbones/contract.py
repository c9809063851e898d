"""What every backbone wrapper must hold: subclass :class:`BackboneContract` in a few lines."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, ClassVar

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map_only

from mmseg_infopro.backbones import boundary_names, numbered_emits, owned_parameters, trace_backbone
from tests.models import BN, NUM_CLASSES, KeepGradients, batch, gradients

HEAD = dict(
    type='FCNHead',
    channels=8,
    num_convs=1,
    kernel_size=1,
    concat_input=False,
    dropout_ratio=0,
    num_classes=NUM_CLASSES,
    norm_cfg=BN,
)


class BackboneContract:
    """The claims; a subclass named ``Test...`` says which wrapper it is about.

    Attributes:
        backbone: Config of the wrapper, tiny; ``InfoProX`` wraps the registered ``X``.
        scope: Of the registry that ``X`` is in, with a dot, if that is not mmseg's.
        image_size: Of the square crop that a segmentor trains on.
        wide_size: Height and width of another image that the backbone takes.
        variants: Further arguments that change the flow, as ``dict(out_indices=(1, 3))``.
        unread: Parameters, by name, that the parent itself leaves without a gradient.
    """

    backbone: ClassVar[dict[str, Any]]
    scope: ClassVar[str] = ''
    image_size: ClassVar[int] = 64
    wide_size: ClassVar[tuple[int, int]] = (64, 96)
    variants: ClassVar[tuple[dict[str, Any], ...]] = ()
    unread: ClassVar[frozenset[str]] = frozenset()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test that takes a ``variant`` on each of them."""
        if 'variant' in metafunc.fixturenames:
            variants = [{}, *self.variants]
            metafunc.parametrize('variant', variants, ids=[str(v) or 'plain' for v in variants])

    def build(self, **overrides: Any) -> Any:
        """Build the wrapper with weights that hide nothing: no zero, no one, no equal pair."""
        torch.manual_seed(0)
        backbone = MODELS.build({**self.backbone, **overrides})
        disturb(backbone)
        return backbone

    def image(self, height: int, width: int) -> torch.Tensor:
        """Return two random images."""
        return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))

    @pytest.mark.parametrize('training', [True, False])
    def test_unrolled_forward_equals_the_parents(self, variant, training):
        backbone = self.build(**variant)
        twin = deepcopy(backbone)
        backbone.train(training)
        twin.train(training)
        for size in [(self.image_size, self.image_size), self.wide_size]:
            expected, features = both_forwards(backbone, twin, self.image(*size))
            assert_bitwise_equal(features, expected)
        assert_bitwise_equal(list(twin.buffers()), list(backbone.buffers()))

    def test_parameter_names_are_the_parents(self):
        name = self.backbone['type'].removeprefix('InfoPro')
        plain = MODELS.build({**self.backbone, 'type': f'{self.scope}{name}'})
        assert list(self.build().state_dict()) == list(plain.state_dict())

    def test_units_and_emits_own_every_parameter_once(self, variant):
        backbone = self.build(**variant)
        owned = [
            parameter
            for unit in backbone.units()
            for owns in (unit.owns, *(emit.owns for emit in unit.emits))
            for parameter in owned_parameters(backbone, owns)
        ]
        assert sorted(owned) == sorted(name for name, _ in backbone.named_parameters())

    def test_a_deep_copy_runs_its_own_weights(self):
        backbone = self.build()
        backbone.eval()
        image = self.image(self.image_size, self.image_size)
        before = run_units(backbone, image)
        copy = deepcopy(backbone)
        disturb(copy, seed=7)
        assert not torch.equal(run_units(copy, image)[-1], before[-1])
        assert_bitwise_equal(run_units(copy, image), parents_forward(copy, image))
        assert_bitwise_equal(run_units(backbone, image), before)

    def test_layers_replaced_after_construction_are_used(self):
        backbone = self.build()
        leaves = [
            name
            for name, layer in backbone.named_modules()
            if name and not list(layer.children()) and list(layer.parameters(recurse=False))
        ]
        for name in leaves:
            backbone.set_submodule(name, deepcopy(backbone.get_submodule(name)))
        disturb(backbone, seed=7)
        backbone.eval()
        image = self.image(self.image_size, self.image_size)
        assert_bitwise_equal(run_units(backbone, image), parents_forward(backbone, image))

    @torch.no_grad()
    def test_units_do_not_write_into_what_they_are_given(self):
        backbone = self.build()
        backbone.eval()
        state = self.image(self.image_size, self.image_size)
        for unit in backbone.units():
            given = tree_map_only(torch.Tensor, torch.clone, state)
            following = unit.apply(backbone, state)
            for emit in unit.emits:
                emit.apply(backbone, following)
            assert_bitwise_equal(tree_leaves(state), tree_leaves(given))
            state = following

    def test_trace_gives_the_real_shapes(self):
        backbone = self.build()
        trace = trace_backbone(backbone)
        backbone.eval()
        state = self.image(self.image_size, self.image_size)
        for unit in backbone.units():
            state = unit.apply(backbone, state)
            border = backbone.border_features(state)
            assert len(border) == len(trace.borders[unit.name])
            for feature, shape in zip(border, trace.borders[unit.name], strict=True):
                assert feature.shape[1] == shape.channels
                assert feature.shape[2] == pytest.approx(self.image_size / shape.stride, abs=1)

    @pytest.mark.parametrize('num_modules', [2, 4])
    def test_views_partition_the_parameters(self, num_modules):
        model = self.segmentor(num_modules)
        names = [name for index in range(num_modules) for name in model.module_parameters(index)]
        assert sorted(names) == sorted(name for name, _ in model.named_parameters())

    @pytest.mark.parametrize('num_modules', [2, 4])
    def test_a_modules_loss_reaches_its_own_parameters_and_all_of_them(self, num_modules):
        model = self.segmentor(num_modules)
        data = model.data_preprocessor(batch(self.image_size), True)
        for index, losses in enumerate(model.pass_losses(data['inputs'], data['data_samples'])):
            model.zero_grad()
            model.parse_losses(losses)[0].backward()
            reached = gradients(model)
            unread = {f'backbone.{name}' for name in self.unread}
            trainable = {n for n, p in model.module_parameters(index).items() if p.requires_grad}
            assert reached.keys() == trainable - unread
            assert all(gradient.isfinite().all() for gradient in reached.values())

    @pytest.mark.parametrize('num_modules', [2, 4])
    def test_the_steps_gradients_are_those_of_one_graph_cut_by_hand(self, num_modules):
        model = self.segmentor(num_modules)
        twin = deepcopy(model)
        torch.manual_seed(3)
        model.train_step(batch(self.image_size), KeepGradients.wrap(model))
        torch.manual_seed(3)
        hand_cut_loss(twin, batch(self.image_size)).backward()
        actual, expected = gradients(model), gradients(twin)
        assert actual.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(actual[name], gradient, rtol=1e-3, atol=1e-5, msg=name)

    def segmentor(self, num_modules: int) -> Any:
        """Build a segmentor cut at evenly spread boundaries, whose head reads every feature."""
        backbone = self.build()
        names = boundary_names(backbone)
        last = len(names) - 1
        spread = {round(last * i / max(1, num_modules - 2)) for i in range(num_modules - 1)}
        boundaries = [names[i] for i in sorted(spread)] if num_modules > 2 else [names[last // 2]]
        channels = [shape.channels for shape in trace_backbone(backbone).features]
        model = MODELS.build(
            dict(
                type='InfoProEncoderDecoder',
                data_preprocessor=dict(
                    type='SegDataPreProcessor',
                    mean=[123.675, 116.28, 103.53],
                    std=[58.395, 57.12, 57.375],
                    size=(self.image_size, self.image_size),
                ),
                backbone=deepcopy(self.backbone),
                decode_head=dict(
                    HEAD,
                    in_channels=channels,
                    in_index=list(range(len(channels))),
                    input_transform='resize_concat',
                ),
                local=dict(boundaries=boundaries, heads=[dict(type='FCNHead', **LOCAL)]),
                train_cfg=dict(),
                test_cfg=dict(mode='whole'),
            )
        )
        disturb(model)
        model.train()
        return model


LOCAL = {key: HEAD[key] for key in ('channels', 'num_convs', 'concat_input', 'dropout_ratio')}


def disturb(module: nn.Module, seed: int = 0) -> None:
    """Give every parameter a random value near a usual one: zeros and ones hide errors."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        is_scale = parameter.dim() == 1 and name.endswith('weight')
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 1
        parameter.data = 1 + 0.2 * noise if is_scale else noise / max(2.0, fan_in**0.5)


def run_units(backbone: Any, image: torch.Tensor) -> list[torch.Tensor]:
    """Run all units, and every emit on the state after its unit."""
    state, features, units = image, {}, backbone.units()
    for unit, emits in zip(units, numbered_emits(units), strict=True):
        state = unit.apply(backbone, state)
        features |= {index: emit.apply(backbone, state) for index, emit in emits}
    return [features[index] for index in sorted(features)]


def parents_forward(backbone: Any, image: torch.Tensor) -> list[torch.Tensor]:
    """Run the forward pass of the wrapped backbone."""
    parent = next(c for c in type(backbone).__mro__[2:] if 'forward' in vars(c))
    output = parent.forward(backbone, image)
    return [output] if torch.is_tensor(output) else list(output)


def both_forwards(backbone, twin, image):
    """Run the parent's forward pass and the units from the same random state."""
    torch.manual_seed(5)
    expected = parents_forward(backbone, image)
    torch.manual_seed(5)
    return expected, run_units(twin, image)


def assert_bitwise_equal(actual: list[Any], expected: list[Any]) -> None:
    """Compare tensors (and the plain values of a state) one by one."""
    actual, expected = tree_leaves(actual), tree_leaves(expected)
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        same = torch.equal(one, other) if torch.is_tensor(one) else one == other
        assert same


def hand_cut_loss(model: Any, data: dict[str, Any]) -> torch.Tensor:
    """Return the sum of all losses, the graph cut at the boundaries; heads called as they are."""
    data = model.data_preprocessor(data, True)
    image, samples = data['inputs'], data['data_samples']
    features, total, state = {}, torch.zeros(()), image
    owners: list[str] = []
    units = model.backbone.units()
    stops = [unit.name for unit in units if unit.name in model.boundaries]
    for unit, emits in zip(units, numbered_emits(units), strict=True):
        state = unit.apply(model.backbone, state)
        in_tail = len(owners) == len(stops)
        for index, emit in emits:
            # The decode head reads it in the tail: what made it, but for the emit, is cut off.
            kept = state if in_tail else detached(state)
            features[index] = emit.apply(model.backbone, kept)
        if unit.name in model.boundaries:
            (head,) = model.local_heads[unit.name.replace('.', '-')]
            border = model.backbone.border_features(state)
            total = total + head.loss(border, samples, {})['loss_ce']
            state = detached(state)
            owners.append(unit.name)
    features = [features[index] for index in sorted(features)]
    return total + model.decode_head.loss(features, samples, {})['loss_ce']


def detached(state: Any) -> Any:
    """Cut a state off its graph."""
    return tree_map_only(torch.Tensor, torch.Tensor.detach, state)
