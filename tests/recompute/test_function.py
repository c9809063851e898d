"""Recomputing against plain autograd, bit for bit; bytes and FLOPs against hand counts."""

import copy
import gc
import weakref
from functools import partial
from itertools import pairwise

import pytest
import torch
from mmseg.models.backbones.resnet import Bottleneck
from mmseg.models.backbones.swin import SwinBlock
from mmseg.models.utils import InvertedResidual
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from mmseg_infopro.measure import flops
from mmseg_infopro.measure.dry_step import peak_beyond
from mmseg_infopro.measure.tracker import MemoryTracker
from mmseg_infopro.recompute.buffers import unchanged_buffers
from mmseg_infopro.recompute.function import recompute
from mmseg_infopro.recompute.layerwise import DEAR
from mmseg_infopro.recompute.operations import measure_activations
from mmseg_infopro.recompute.surroundings import Surroundings

SAVED = ['units', 'cheap', 'layers', {0}]


class Nested(nn.Module):
    """Takes and returns a nest: two branches, and their stride."""

    def __init__(self):
        super().__init__()
        self.fine, self.coarse = conv_norm(16), conv_norm(16)

    def forward(self, state):
        fine, coarse = self.fine(state['maps'][0]), self.coarse(state['maps'][1])
        fine += nn.functional.interpolate(coarse, scale_factor=2)
        return {'maps': [fine, coarse], 'stride': state['stride']}


class Swin(nn.Module):
    """A block with shifted windows and stochastic depth, on a map."""

    def __init__(self):
        super().__init__()
        self.block = SwinBlock(16, 2, 32, window_size=4, shift=True, drop_path_rate=0.5)

    def forward(self, x):
        return self.block(x.flatten(2).transpose(1, 2), (8, 8))


def conv_norm(channels, norm=nn.BatchNorm2d, *after):
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), norm(channels), *after)


def instance_norm(channels):
    return nn.InstanceNorm2d(channels, affine=True, track_running_stats=True)


def cumulative_norm(channels):
    return nn.BatchNorm2d(channels, momentum=None)


UNITS = {
    'bottleneck': lambda: Bottleneck(16, 4, norm_cfg=dict(type='BN')),
    'inverted_residual': lambda: InvertedResidual(16, 16, 1, 2),
    'swin': Swin,
    'dropout': lambda: conv_norm(16, nn.BatchNorm2d, nn.ReLU(True), nn.Dropout(), nn.Dropout()),
    'nested': Nested,
    # The activation overwrites an output that is kept.
    'no_norm': lambda: nn.Sequential(
        nn.Conv2d(16, 8, 1), nn.LeakyReLU(0.1, True), nn.Conv2d(8, 16, 1)
    ),
    'sync_norm': lambda: conv_norm(16, nn.SyncBatchNorm),
    'instance_norm': lambda: conv_norm(16, instance_norm),
    'cumulative_norm': lambda: conv_norm(16, cumulative_norm),
    'norm_without_statistics': lambda: conv_norm(16, nn.InstanceNorm2d, nn.LeakyReLU(0.1, True)),
}


def norms(module):
    return [layer for layer in module.modules() if hasattr(layer, 'running_mean')]


def unit_of(name):
    torch.manual_seed(0)
    return UNITS[name]().train()


def train(unit, saved, nested=False, requires_grad=False, autocast=False, lasting=False):
    """Take two steps; return all that they change, and the gradients and outputs."""
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(unit.parameters(), lr=0.1)
    x = torch.randn(3, 16, 8, 8, requires_grad=requires_grad)
    state = {'maps': [x, x[..., ::2, ::2]], 'stride': 4} if nested else x
    for _ in range(2):
        optimizer.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            if saved is None:
                output = unit(state)
            else:
                output = recompute(unit, state, saved=saved, norms=norms(unit), lasting=lasting)
        outputs = [leaf for leaf in tree_leaves(output) if torch.is_tensor(leaf)]
        sum(leaf.float().square().mean() for leaf in outputs).backward()
        optimizer.step()
    gradients = [x.grad, *(parameter.grad for parameter in unit.parameters())]
    changed = [*outputs, *gradients, *unit.state_dict().values(), torch.get_rng_state()]
    return [value for value in changed if value is not None]


def assert_equal(actual, expected):
    assert len(actual) == len(expected)
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


@pytest.mark.parametrize('lasting', [False, True])
@pytest.mark.parametrize('requires_grad', [False, True])
@pytest.mark.parametrize('saved', SAVED)
@pytest.mark.parametrize('name', UNITS)
def test_nothing_changes(name, saved, requires_grad, lasting):
    settings = dict(nested=name == 'nested', requires_grad=requires_grad)
    expected = train(unit_of(name), None, **settings)
    assert_equal(train(unit_of(name), saved, lasting=lasting, **settings), expected)


@pytest.mark.parametrize('saved', SAVED)
@pytest.mark.parametrize('name', ['bottleneck', 'swin'])
def test_nothing_changes_in_mixed_precision(name, saved):
    expected = train(unit_of(name), None, autocast=True)
    assert_equal(train(unit_of(name), saved, autocast=True), expected)


def test_a_weight_that_autocast_has_in_its_cache_changes_nothing():
    gradients = []
    for saved in (None, 'cheap'):
        torch.manual_seed(0)
        layer, x = nn.Conv2d(3, 3, 1), torch.rand(1, 3, 4, 4)
        with torch.autocast('cpu', torch.bfloat16):
            first = layer(x)
            second = (
                layer(x).relu()
                if saved is None
                else recompute(lambda x, layer=layer: layer(x).relu(), x, saved=saved)
            )
        (first + second).sum().backward()
        gradients.append(layer.weight.grad)
    assert torch.equal(*gradients)


def test_groups_of_units_nest():
    def run(unit, group):
        torch.manual_seed(1)
        unit = copy.deepcopy(unit)
        output = torch.rand(2, 16, 8, 8)
        output = group(unit, output) if group else unit(output)
        output.square().sum().backward()
        return [*(p.grad for p in unit.parameters()), *unit.buffers(), torch.get_rng_state()]

    def inner(unit, x):
        for layer in unit:
            x = recompute(layer, x, saved='cheap', norms=norms(layer))
        return x

    def outer(unit, x):
        return recompute(lambda x: inner(unit, x), x, saved='cheap', norms=norms(unit))

    units = nn.Sequential(unit_of('bottleneck'), unit_of('dropout'), unit_of('bottleneck'))
    assert_equal(run(units, outer), run(units, None))


def test_an_output_that_the_caller_overwrites():
    gradients = []
    for saved in (None, 'cheap'):
        torch.manual_seed(0)
        layers = nn.Linear(4, 4), nn.Linear(4, 4)

        def function(x, layers=layers):
            first = layers[0](x)
            return first, layers[1](first.sin())

        x = torch.rand(2, 4)
        first, second = function(x) if saved is None else recompute(function, x, saved=saved)
        if saved is not None:
            first.detach().zero_()
        second.sum().backward()
        gradients.append(layers[0].weight.grad)
    assert torch.equal(*gradients)


def test_an_operation_that_draws_random_numbers_is_run_again(monkeypatch, request):
    request.addfinalizer(flops.is_compute.cache_clear)  # it remembers what the table said
    flops.is_compute.cache_clear()
    monkeypatch.setitem(flops.FLOP_FORMULAS, torch.ops.aten.native_dropout, lambda *_: 0)

    def function(x):
        return torch.native_dropout(torch.native_dropout(x, 0.5, True)[0], 0.5, True)[0]

    gradients = []
    for saved in (None, 'cheap'):
        torch.manual_seed(0)
        x = torch.rand(64, requires_grad=True)
        (function(x) if saved is None else recompute(function, x, saved=saved)).sum().backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)


def test_buffers_are_put_back_after_an_error():
    unit, runs = unit_of('bottleneck'), []

    def function(x):
        output = unit(x)
        if runs:
            raise RuntimeError('in the second run')
        runs.append(1)
        return output.sin()

    before = dict(unit.named_buffers())
    output = recompute(function, torch.rand(2, 16, 8, 8), saved='cheap', norms=norms(unit))
    with pytest.raises(RuntimeError, match='in the second run'):
        output.sum().backward()
    assert all(buffer is before[name] for name, buffer in unit.named_buffers())


def test_nothing_is_kept_without_gradients():
    with torch.no_grad():
        output = recompute(unit_of('bottleneck'), torch.rand(2, 16, 8, 8), saved='cheap')
    assert not output.requires_grad


def test_a_forgotten_output_frees_its_activations_at_once():
    gc.disable()
    try:
        unit = unit_of('bottleneck')
        storages = []
        unit.conv2.register_forward_hook(
            lambda *given: storages.append(weakref.ref(given[2].untyped_storage()))
        )
        output = recompute(unit, torch.rand(2, 16, 8, 8), saved='cheap', norms=norms(unit))
        assert storages[0]() is not None
        del output
        assert storages[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize('saved', [{1, 3}, [-1], 'all'])
def test_unknown_operations(saved):
    match = "'units', 'cheap', 'layers' or" if saved == 'all' else r'from 0 to 2, got \['
    with pytest.raises(ValueError, match=match):
        recompute(unit_of('bottleneck'), torch.rand(2, 16, 8, 8), saved=saved)


# A bottleneck of 16 channels, 4 inside, on 2 images of 8 x 8.
PIXELS = 2 * 8 * 8
FLOPS = [2 * PIXELS * macs for macs in (16 * 4, 9 * 4 * 4, 4 * 16)]


def fake_bottleneck():
    return Bottleneck(16, 4, norm_cfg=dict(type='BN')), torch.rand(2, 16, 8, 8)


@pytest.mark.parametrize(
    ('saved', 'repeated'), [('cheap', []), ({0, 1}, [2]), ({2}, [0, 1]), ('units', [0, 1, 2])]
)
def test_flops_are_those_of_the_operations_that_run_again(saved, repeated):
    with FakeTensorMode():
        unit, x = fake_bottleneck()
        counted = []
        for choice in (None, saved):
            with FlopCounterMode(display=False) as counter:
                output = unit(x) if choice is None else recompute(unit, x, saved=choice)
                output.sum().backward()
            counted.append(counter.get_total_flops())
        activations = measure_activations(unit, x)
    expected = sum(FLOPS[index] for index in repeated)
    assert counted[1] - counted[0] == activations.repeated_flops(saved) == expected


def peak_and_flops(unit, x, saved):
    existing = [x, *unit.parameters(), *unit.buffers()]
    run = partial(recompute, unit, x, saved=saved, norms=norms(unit), lasting=True)
    with FlopCounterMode(display=False) as counter:
        run().sum().backward()
    return peak_beyond(lambda: run().sum().backward(), existing), counter.get_total_flops()


def test_layer_by_layer_less_is_there_at_once():
    with FakeTensorMode():
        unit = Bottleneck(512, 128, norm_cfg=dict(type='BN'))
        x = torch.rand(2, 512, 32, 32, requires_grad=True)
        whole, flops = peak_and_flops(unit, x, 'units')
        by_layers, more = peak_and_flops(unit, x, 'layers')
    # Two norms' outputs, of a quarter of the channels, and one of the convolutions' before them.
    assert whole - by_layers == 3 * x.nbytes // 4
    # The first convolution, below the limit, is made for its own sake and on the way to the third
    # one and to two activations; the second one, above it, once.
    first = 2 * (2 * 32 * 32) * 512 * 128
    assert 2 * 512 < DEAR < 2 * 9 * 128
    assert more - flops == 3 * first


def test_the_activations_of_a_bottleneck():
    with FakeTensorMode():
        activations = measure_activations(*fake_bottleneck())
    bytes_of = {channels: 4 * PIXELS * channels for channels in (4, 16)}
    assert [operation.flops for operation in activations.operations] == FLOPS
    assert [op.output_bytes for op in activations.operations] == [bytes_of[c] for c in (4, 4, 16)]
    assert all(op.saved and op.repeated and not op.returned for op in activations.operations)
    statistics = 4 * 2 * (4 + 4 + 16)
    assert activations.other_bytes == 2 * bytes_of[4] + statistics
    assert activations.output_bytes == bytes_of[16]
    assert activations.kept_bytes('cheap') == 2 * bytes_of[4] + bytes_of[16]
    assert activations.saved_bytes == activations.other_bytes + activations.kept_bytes('cheap')


def test_the_last_product_of_a_residual_branch_is_not_run_again():
    with FakeTensorMode():
        layers = nn.Linear(8, 8), nn.Linear(8, 8)
        activations = measure_activations(
            lambda x: x + layers[1](layers[0](x).relu()), torch.rand(4, 8)
        )
    assert [operation.repeated for operation in activations.operations] == [True, False]
    assert activations.worth_keeping() == {0}
    assert activations.repeated_flops('units') == activations.operations[0].flops
    assert activations.other_bytes == activations.output_bytes == 4 * 4 * 8  # relu's; no weights


@pytest.mark.parametrize('saved', [None, 'cheap', {0, 1}, 'units'])
def test_fake_tensors_predict_what_stays_between_the_passes(saved):
    with FakeTensorMode():
        unit, x = fake_bottleneck()
        activations = measure_activations(unit, x)
        tracker = MemoryTracker()
        tracker.track([*unit.parameters(), *unit.buffers()], 'existing')
        with tracker:
            output = unit(x) if saved is None else recompute(unit, x, saved=saved)
        held = tracker.alive_bytes['activations'] - output.nbytes
    statistics = 4 * 2 * (4 + 4 + 16)  # negligible, and so kept
    kept = activations.saved_bytes if saved is None else activations.kept_bytes(saved) + statistics
    assert held == kept


def test_peaks_fall():
    def step(units, x, saved):
        for unit in units:
            x = unit(x) if saved is None else recompute(unit, x, saved=saved)
        x.sum().backward()

    with FakeTensorMode():
        units = [Bottleneck(64, 16, norm_cfg=dict(type='BN')) for _ in range(8)]
        x = torch.rand(2, 64, 32, 32)
        peaks = [
            peak_beyond(lambda s=s: step(units, x, s)) for s in (None, 'cheap', {0, 1}, 'units')
        ]
    assert all(after < 0.9 * before for before, after in pairwise(peaks))


def test_a_device_whose_random_numbers_are_not_known_is_refused():
    with FakeTensorMode():
        x = torch.empty(2, 3, device='xpu')
    with pytest.raises(ValueError, match=r'one of cpu, cuda, meta, got xpu: set local.recompute='):
        Surroundings([x])


@pytest.mark.parametrize('kind', [nn.BatchNorm2d, nn.SyncBatchNorm])
@pytest.mark.parametrize('momentum', [0.1, None])
@pytest.mark.parametrize('training', [True, False])
def test_a_second_run_of_a_norm_is_the_first_and_leaves_its_buffers(kind, momentum, training):
    norm, x = kind(3, momentum=momentum).train(training), torch.randn(2, 3, 4, 4)
    buffers = list(norm.buffers())
    first = norm(x)
    values = [buffer.clone() for buffer in buffers]
    if training or kind is nn.BatchNorm2d:
        with unchanged_buffers([norm]):
            second = norm(x)
        assert torch.equal(first, second) or momentum is None
    assert all(map(torch.equal, values, buffers))
    assert [id(buffer) for buffer in norm.buffers()] == [id(buffer) for buffer in buffers]


def test_a_parameter_that_is_written_to_before_the_backward_pass_is_named():
    layer, x = nn.Conv2d(4, 4, 1), torch.randn(2, 4, 8, 8, requires_grad=True)
    result = recompute(lambda x: layer(x).relu(), x, saved='cheap')
    with torch.no_grad():
        layer.weight.add_(1)
    with pytest.raises(RuntimeError, match=r'written to in place: it is of shape \(4, 4, 1, 1\)'):
        result.sum().backward()
