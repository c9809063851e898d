"""Heads that recompute their norms and activations against the plain ones, bit for bit."""

from contextlib import nullcontext

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from mmseg_infopro.local_heads import head_losses
from mmseg_infopro.measure.dry_step import dry_step, peak_beyond
from mmseg_infopro.measure.tracker import MemoryTracker
from mmseg_infopro.planning.batch import StepShape
from mmseg_infopro.planning.unit_costs import measure_step
from mmseg_infopro.recompute.layers import recomputing
from tests.models import BN, GN, NUM_CLASSES, batch, build, model_config

ONE = dict(in_channels=8, channels=8, in_index=0)
HEADS = {
    'ASPPHead': dict(ONE, dilations=(1, 2)),
    'DepthwiseSeparableASPPHead': dict(ONE, dilations=(1, 2), c1_in_channels=0, c1_channels=0),
    'ChunkedFCNHead': dict(ONE, num_convs=2),
    'UPerHead': dict(in_channels=[8, 8], channels=8, in_index=[0, 1], pool_scales=(1, 2)),
    'ReconstructionHead': dict(
        in_channels=8, stride=2, image_mean=[0.0] * 3, image_std=[1.0] * 3, channels=8
    ),
}
SYNC_BN = dict(type='SyncBN', requires_grad=True)


def build_head(name, norm=BN):
    torch.manual_seed(0)
    cfg = dict(type=name, norm_cfg=norm)
    if name != 'ReconstructionHead':
        cfg |= dict(num_classes=NUM_CLASSES, dropout_ratio=0.5)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(cfg | HEADS[name]).train()


def train(name, recomputes, norm=BN, autocast=False):
    """Take two steps; return all that they change, the losses and the inputs' gradients."""
    head = build_head(name, norm)
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    given = batch(32)
    image = torch.randn(2, 3, 32, 32)
    sizes = (16,) if name == 'ReconstructionHead' else (16, 8)
    inputs = [torch.randn(2, 8, size, size, requires_grad=True) for size in sizes]
    found = []
    for _ in range(2):
        optimizer.zero_grad()
        context = torch.autocast('cpu', torch.bfloat16, enabled=autocast)
        with context, recomputing([head] * recomputes):
            losses = head_losses(head, inputs, given['data_samples'], image)
        sum(value for key, value in losses.items() if 'loss' in key).backward()
        found += [value.detach() for value in losses.values()]
        optimizer.step()
    gradients = [value.grad for value in (*inputs, *head.parameters()) if value.grad is not None]
    return [*found, *gradients, *head.state_dict().values(), torch.get_rng_state()]


def assert_equal(actual, expected):
    assert len(actual) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


def plain_forwards(module):
    return all('forward' not in vars(layer) for layer in module.modules())


@pytest.mark.parametrize('norm', [BN, SYNC_BN, GN], ids=lambda norm: norm['type'])
@pytest.mark.parametrize('name', HEADS)
def test_nothing_changes(name, norm):
    assert_equal(train(name, True, norm), train(name, False, norm))


@pytest.mark.parametrize('name', ['ASPPHead', 'UPerHead'])
def test_nothing_changes_in_mixed_precision(name):
    expected = train(name, recomputes=False, autocast=True)
    assert_equal(train(name, recomputes=True, autocast=True), expected)


LAYERS = {
    'leaky': dict(act_cfg=dict(type='LeakyReLU')),
    'gelu': dict(act_cfg=dict(type='GELU')),
    'not_inplace': dict(inplace=False),
    'reflect': dict(padding_mode='reflect'),
    'no_norm': dict(norm_cfg=None),
    'no_activation': dict(act_cfg=None),
    'spectral': dict(with_spectral_norm=True),
    'norm_first': dict(order=('norm', 'act', 'conv')),
    'norm_last': dict(order=('conv', 'act', 'norm')),
    # It overwrites its input.
    'activation_first': dict(order=('act', 'conv', 'norm'), act_cfg=dict(type='LeakyReLU')),
}


class Pair(nn.Module):
    """Two layers, concatenated, one of them without activation."""

    def __init__(self, **settings):
        super().__init__()
        cfg = dict(kernel_size=3, padding=1, norm_cfg=dict(type='BN')) | settings
        self.first, self.second = ConvModule(8, 8, **cfg), ConvModule(8, 8, **cfg)

    def forward(self, x):
        return torch.cat([self.first(x.sin()), self.second(x.cos(), activate=False)], 1)


@pytest.mark.parametrize('name', LAYERS)
def test_layers_of_every_kind(name):
    def run(recomputes):
        torch.manual_seed(0)
        module, x = Pair(**LAYERS[name]), torch.randn(2, 8, 6, 6, requires_grad=True)
        for _ in range(2):
            with recomputing([module] * recomputes):
                output = module(x)
            output.square().sum().backward()
        gradients = [parameter.grad for parameter in module.parameters()]
        return [output, x.grad, *gradients, *module.buffers()]

    assert_equal(run(recomputes=True), run(recomputes=False))


def test_hooks_of_a_layer_are_called_once():
    module, calls = Pair(), []
    module.first.register_forward_hook(lambda *_: calls.append(1))
    with recomputing([module]):
        output = module(torch.randn(2, 8, 6, 6))
    output.sum().backward()
    assert calls == [1]


@pytest.mark.parametrize('fails', [False, True])
def test_layers_are_as_before(fails):
    module = Pair()
    mine = module.second.forward = lambda x: x
    error = pytest.raises(RuntimeError, match='inside') if fails else nullcontext()
    with error, recomputing([module, module.first]):
        assert 'forward' in vars(module.first)
        if fails:
            raise RuntimeError('inside')
    assert vars(module.second).pop('forward') is mine
    assert plain_forwards(module)


@pytest.mark.parametrize('without', ['gradients', 'training'])
def test_nothing_is_recomputed_without(without):
    module, runs = Pair(), []
    module.train(without != 'training')
    module.first.bn.register_forward_hook(lambda *_: runs.append(1))
    x = torch.randn(2, 8, 6, 6, requires_grad=True)
    with torch.set_grad_enabled(without != 'gradients'), recomputing([module]):
        output = module(x)
    if without != 'gradients':
        output.square().sum().backward()
    assert runs == [1]


def test_an_output_that_is_copied_does_not_stay():
    class Copied(nn.Module):
        def __init__(self):
            super().__init__()
            cfg = dict(kernel_size=1, norm_cfg=dict(type='BN'))
            self.layers = nn.ModuleList(ConvModule(8, 8, **cfg) for _ in range(4))

        def forward(self, x):
            return torch.cat([layer(x) for layer in self.layers], 1)

    with FakeTensorMode():
        module, x = Copied(), torch.rand(2, 8, 32, 32)
        held = []
        for recomputes in (False, True):
            tracker = MemoryTracker()
            tracker.track([x, *module.parameters(), *module.buffers()], 'existing')
            with tracker, recomputing([module] * recomputes):
                output = module(x)
            held.append(tracker.alive_bytes['activations'] - output.nbytes)
    statistics = 4 * 2 * 4 * 8
    assert held[0] == 8 * x.nbytes + statistics  # what each layer convolves and returns
    assert 4 * x.nbytes <= held[1] <= 4 * x.nbytes + statistics


@pytest.mark.parametrize('name', ['ASPPHead', 'UPerHead'])
def test_the_peak_falls_at_the_same_flops(name):
    def step(recomputes):
        with recomputing([head] * recomputes):
            output = head(inputs)
        output.sum().backward()

    head = build_head(name)
    peaks, flops = [], []
    with FakeTensorMode(allow_non_fake_inputs=True):
        inputs = [torch.empty(2, 8, s, s, requires_grad=True) for s in (64, 32)]
        existing = [*inputs, *head.parameters(), *head.buffers()]
        for recomputes in (False, True):
            peaks.append(peak_beyond(lambda r=recomputes: step(r), existing))
            with FlopCounterMode(display=False) as counter:
                step(recomputes)
            flops.append(counter.get_total_flops())
    assert peaks[1] < 0.95 * peaks[0]
    assert flops[0] == flops[1]


def aspp_model(recompute):
    cfg = model_config(local=dict(boundaries=['layer4.0'], recompute=recompute))
    head = dict(in_channels=64, channels=64, in_index=3, dilations=[1] * 6)
    cfg['decode_head'] = dict(head, type='ChunkedASPPHead', num_classes=NUM_CLASSES, norm_cfg=BN)
    return build(cfg)


def test_heads_of_a_segmentor_recompute():
    sgd = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    lean, plain = aspp_model('cheap'), aspp_model('cheap')
    plain.recomputes = False
    peaks = [dry_step(model, sgd, lambda: batch(256)).module_peaks() for model in (lean, plain)]
    assert peaks[0][1] < 0.95 * peaks[1][1]


def test_heads_of_a_segmentor_are_as_before_after_a_step():
    model = aspp_model('cheap')
    model.train_step(batch(), OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)))
    assert plain_forwards(model)


def test_planning_measures_heads_as_they_run():
    model = aspp_model('none')
    shape = StepShape(2, (128, 128))
    head_cfgs = [dict(type='FCNHead', channels=32)]
    defaults = model.head_defaults()
    plain, lean = (
        measure_step(model, head_cfgs, defaults, shape, recomputed)
        for recomputed in ('none', 'cheap')
    )
    assert lean.tail_heads < 0.95 * plain.tail_heads
    assert sum(u.heads for u in lean.units) < 0.95 * sum(u.heads for u in plain.units)
