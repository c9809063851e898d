"""What a second run makes, and what it does not: against plain autograd, and counted by hand."""

import gc

import pytest
import torch
from mmseg.models.backbones.resnet import Bottleneck
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from mmseg_infopro.measure.dry_step import peak_beyond
from mmseg_infopro.measure.tracker import MemoryTracker
from mmseg_infopro.recompute.function import recompute


def bottleneck():
    torch.manual_seed(0)
    return Bottleneck(16, 4, norm_cfg=dict(type='BN'))


def runs_of(module):
    runs = []
    module.register_forward_hook(lambda *_: runs.append(1))
    return runs


def norms(module):
    return [layer for layer in module.modules() if hasattr(layer, 'running_mean')]


def recomputed(unit, x, **settings):
    return recompute(unit, x, **{'saved': 'cheap', 'norms': norms(unit), **settings})


@pytest.mark.parametrize('lasting', [False, True])
@pytest.mark.parametrize('saved', ['cheap', 'units'])
def test_the_end_of_a_unit_runs_again_only_for_a_result_that_does_not_last(saved, lasting):
    unit = bottleneck()
    inner, last = runs_of(unit.norm2), runs_of(unit.norm3)
    output = recomputed(unit, torch.rand(2, 16, 8, 8), saved=saved, lasting=lasting)
    output.sum().backward()
    assert len(inner) == 2
    assert len(last) == (1 if lasting else 2)


def test_a_lasting_result_is_not_there_twice():
    def step(lasting):
        output = recomputed(unit, x, lasting=lasting)
        state = output.detach()  # what the next module starts from
        output.mul(2).sum().backward()
        return state

    with FakeTensorMode():
        unit, x = bottleneck(), torch.rand(2, 16, 32, 32)
        existing = [x, *unit.parameters(), *unit.buffers()]
        peaks = [peak_beyond(lambda s=s: step(s), existing) for s in (False, True)]
    assert peaks[0] - peaks[1] >= x.nbytes


def test_a_result_that_does_not_last_is_not_held():
    gc.disable()
    try:
        with FakeTensorMode():
            layers = nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
            unit, x = nn.Sequential(*layers), torch.rand(2, 8, 32, 32)
            tracker = MemoryTracker()
            tracker.track([x, *unit.parameters(), *unit.buffers()], 'existing')
            with tracker:
                output = recomputed(unit, x).sum()
            held = tracker.alive_bytes['activations']
        del output
    finally:
        gc.enable()
    assert x.nbytes <= held < 1.1 * x.nbytes  # what it convolves


@pytest.mark.parametrize('lasting', [False, True])
def test_a_result_that_was_written_to_is_made_again(lasting):
    unit = bottleneck()
    x = torch.rand(2, 16, 8, 8)
    unit(x).sum().backward()
    expected = [parameter.grad.clone() for parameter in unit.parameters()]
    unit.zero_grad()
    output = recomputed(unit, x, lasting=lasting)
    total = output.sum()
    output.detach().zero_()
    total.backward()
    assert all(torch.equal(p.grad, e) for p, e in zip(unit.parameters(), expected, strict=True))


def both(function, use):
    """Return what ``use`` makes of a function, plain and recomputed."""
    torch.manual_seed(0)
    x = torch.rand(4, 8, dtype=torch.double)
    return [
        use(run, x.clone().requires_grad_())
        for run in (function, lambda x: recompute(function, x, saved='units'))
    ]


def test_several_backward_passes():
    def use(run, x):
        output = run(x)
        output.sum().backward(retain_graph=True)
        output.square().sum().backward()
        return x.grad

    assert torch.equal(*both(lambda x: (x.sin() * x).exp(), use))


def test_a_backward_pass_of_a_part():
    def use(run, x):
        first, second = run(x)
        later = torch.autograd.grad(second.sum(), x, retain_graph=True)[0]
        return later + 2 * torch.autograd.grad(first.sum(), x)[0]

    assert torch.equal(*both(lambda x: (x.sin(), x.sin().exp()), use))


def test_gradients_of_gradients():
    def use(run, x):
        (gradient,) = torch.autograd.grad(run(x).sum(), x, create_graph=True)
        gradient.square().sum().backward()
        return x.grad

    assert torch.equal(*both(lambda x: x.sin().exp(), use))


def test_gradients_inside_of_a_function():
    def function(x):
        inner = x.exp()
        (gradient,) = torch.autograd.grad(inner.sin().sum(), inner)
        return inner * gradient

    def use(run, x):
        run(x).sum().backward()
        return x.grad

    assert torch.equal(*both(function, use))


class Twice(torch.autograd.Function):
    """Reads its saved tensors twice."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x.sin())
        return x.exp()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0] + ctx.saved_tensors[0]


def test_saved_tensors_that_are_read_twice():
    def use(run, x):
        run(x).sum().backward()
        return x.grad

    assert torch.equal(*both(lambda x: Twice.apply(x.cos()), use))


def through_checkpoint(function, x):
    return checkpoint(function, x, use_reentrant=False)


NESTS = {
    'in_checkpoint': lambda f, x: through_checkpoint(lambda x: recompute(f, x, saved='cheap'), x),
    'around_checkpoint': lambda f, x: recompute(
        lambda x: through_checkpoint(f, x.cos()).sin(), x, saved='cheap'
    ),
}


@pytest.mark.parametrize('name', NESTS)
def test_nests_with_torchs_checkpoint(name):
    def function(x):
        return torch.dropout((x @ x.T).sin().exp(), 0.5, True)

    plain = {
        'in_checkpoint': function,
        'around_checkpoint': lambda x: function(x.cos()).sin(),
    }
    gradients = []
    for run in (plain[name], lambda x: NESTS[name](function, x)):
        torch.manual_seed(0)
        x = torch.rand(4, 4, requires_grad=True)
        run(x).sum().backward()
        gradients.append(x.grad)
    assert torch.equal(*gradients)


def test_an_outer_recompute_frees_what_inner_ones_start_from():
    def outer(x):
        for layer in layers:
            x = recompute(lambda x, layer=layer: layer(x).sin().exp(), x, saved='units')
        return x

    with FakeTensorMode():
        layers = [nn.Linear(64, 64) for _ in range(4)]
        x = torch.rand(256, 64)
        tracker = MemoryTracker()
        tracker.track([x, *(p for layer in layers for p in layer.parameters())], 'existing')
        with tracker:
            output = recompute(outer, x, saved='units')
        assert tracker.alive_bytes['activations'] < 1.1 * output.nbytes


def test_mixed_precision_and_random_numbers_are_restored():
    layer = nn.Linear(8, 8)
    seen = []

    def function(x):
        output = layer(x)
        seen.append((output.dtype, torch.is_autocast_enabled('cpu')))
        return torch.dropout(output.exp(), 0.5, True)

    x = torch.rand(4, 8, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        output = recompute(function, x, saved='units')
    torch.rand(3)
    before = torch.get_rng_state()
    output.sum().backward()
    assert seen == [(torch.bfloat16, True)] * 2
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ('second', 'message'),
    [
        (lambda x: x[:2].exp(), r'torch.Size\(\[4, 8\]\).* in the first and .*\[2, 8\]'),
        (lambda x: x + 1, 'the second one ended before'),
    ],
)
def test_functions_that_do_something_else_the_second_time(second, message):
    runs = []

    def function(x):
        runs.append(1)
        return x.exp() if len(runs) == 1 else second(x)

    output = recompute(function, torch.rand(4, 8, requires_grad=True), saved='units').sum()
    with pytest.raises(RuntimeError, match=message):
        output.backward()


def test_an_error_of_the_second_run_is_the_users():
    runs = []

    def function(x):
        runs.append(1)
        if len(runs) == 2:
            raise KeyError('mine')
        return x.exp().sin()

    output = recompute(function, torch.rand(4, 8, requires_grad=True), saved='units').sum()
    with pytest.raises(KeyError, match='mine'):
        output.backward()
