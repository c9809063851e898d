"""ASPP heads that sum up their branches one by one, against mmseg's, which concatenate them."""

from functools import partial

import pytest
import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads import ASPPHead
from mmseg.registry import MODELS
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from mmseg_infopro.local_heads.chunking import chunked_class
from mmseg_infopro.local_heads.shared_input import convolve_each
from mmseg_infopro.measure.dry_step import peak_beyond
from mmseg_infopro.measure.tracker import MemoryTracker
from mmseg_infopro.recompute.layers import recomputing
from tests.models import BN, GN

KINDS = {
    'ASPPHead': {},
    'DepthwiseSeparableASPPHead': dict(c1_in_channels=8, c1_channels=4),
    'alone': dict(type='DepthwiseSeparableASPPHead', c1_in_channels=0, c1_channels=0),
}
SIZES = [(8, 9), (3, 3), (2, 5), (4, 1)]
SYNC_BN = dict(type='SyncBN', requires_grad=True)
FORMS = {'none': (True, False), 'cheap': (True, True)}


def build(kind, summed, **settings):
    torch.manual_seed(0)
    defaults = dict(type=kind, in_channels=8, channels=6, in_index=-1, num_classes=4)
    cfg = defaults | dict(dropout_ratio=0.0, norm_cfg=BN, dilations=(1, 2, 3)) | KINDS[kind]
    cfg |= settings
    cfg['type'] = f'Chunked{cfg["type"]}' if summed else cfg['type']
    return MODELS.build(cfg).train()


def train(kind, summed, recomputes, size=(8, 9), dtype=torch.double, **settings):
    """Run both passes; return logits, gradients of the features and of parameters, and buffers."""
    head = build(kind, summed, **settings).to(dtype)
    torch.manual_seed(1)
    features = [torch.randn(3, 8, *size, dtype=dtype, requires_grad=True) for _ in range(2)]
    for _ in range(2):
        with recomputing([head] * recomputes):
            logits = head(features)
        logits.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in head.named_parameters()}
    inputs = [feature.grad for feature in features]
    return dict(logits=logits.detach(), inputs=inputs, gradients=gradients, state=head.state_dict())


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('kind', KINDS)
def test_values_gradients_and_buffers_are_those_of_the_concatenation(kind, size, form):
    expected, actual = train(kind, False, False, size), train(kind, *FORMS[form], size)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize('norm', [BN, SYNC_BN, GN, None], ids=lambda norm: norm and norm['type'])
@pytest.mark.parametrize('kind', KINDS)
def test_recomputing_changes_nothing(kind, norm):
    settings = dict(norm_cfg=norm, dtype=torch.float, channels=8)
    actual = train(kind, True, True, **settings)
    torch.testing.assert_close(actual, train(kind, True, False, **settings), rtol=0, atol=0)


@pytest.mark.parametrize('kind', KINDS)
def test_without_norms_a_head_is_mmsegs(kind):
    expected, actual = (train(kind, summed, summed, norm_cfg=None) for summed in (False, True))
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_norms_count_a_step_once():
    norm = dict(BN, momentum=0.5)
    state = train('ASPPHead', True, True, norm_cfg=norm)['state']
    counts = [value for name, value in state.items() if name.endswith('num_batches_tracked')]
    assert [int(count) for count in counts] == [2] * 5


@pytest.mark.parametrize('kind', KINDS)
def test_prediction_is_mmsegs(kind):
    heads = [build(kind, summed).eval() for summed in (False, True)]
    features = [torch.randn(1, 8, 8, 9)] * 2
    with torch.no_grad():
        plain, summed = (head(features) for head in heads)
    assert torch.equal(summed, plain)


@pytest.mark.parametrize('recomputes', [False, True])
def test_half_precision_stays_where_mmseg_has_it(recomputes):
    def run(summed):
        head = build('ASPPHead', summed)
        torch.manual_seed(1)
        x = torch.randn(3, 8, 8, 9, requires_grad=True)
        with torch.autocast('cpu', torch.bfloat16), recomputing([head] * recomputes):
            logits = head([x])
        logits.float().square().sum().backward()
        return logits.detach(), x.grad, head.bottleneck.conv.weight.grad

    expected, actual = run(False), run(True)
    assert [value.dtype for value in actual] == [value.dtype for value in expected]
    for value, plain in zip(actual, expected, strict=True):  # 8 bits, and three norms in a row
        assert (value - plain).float().norm() < 0.05 * plain.float().norm()


class Upsampled(nn.Module):
    """A head behind what makes its input, whose gradient then counts."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, x):
        return self.head([x * 1])


def peak_and_flops(summed, amp=False, recomputes=True):
    with FakeTensorMode(allow_non_fake_inputs=True):
        module = Upsampled(build('ASPPHead', summed, in_channels=64, channels=64, norm_cfg=BN))
        x = torch.empty(4, 64, 64, 64, requires_grad=True)

        def step():
            context = torch.autocast('cpu', torch.bfloat16, enabled=amp)
            with context, recomputing([module] * recomputes):
                module(x).float().sum().backward()

        peak = peak_beyond(step, [x, *module.parameters(), *module.buffers()])
        with FlopCounterMode(display=False) as counter:
            step()
        return peak / x.nbytes, counter.get_total_flops()


def test_branches_and_their_concatenation_are_never_there_at_once():
    """In maps, of which a branch has one, and the concatenation four."""
    (plain, plain_flops), (summed, summed_flops) = peak_and_flops(False), peak_and_flops(True)
    assert plain - summed > 5
    pooled = 4 * 64 * 64 * 64 * 64 * 9 * 2 * 3  # of a fifth of the last convolution, both passes
    assert 0.98 * pooled < plain_flops - summed_flops < pooled


def test_less_stays_without_recomputing_and_in_half_precision():
    for settings in (dict(recomputes=False), dict(amp=True)):
        plain, summed = (peak_and_flops(summed, **settings)[0] for summed in (False, True))
        assert plain - summed > (2.5 if settings.get('amp') else 5)


def test_no_map_is_in_full_precision_under_autocast():
    dtypes = set()

    class Seen(MemoryTracker):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = super().__torch_dispatch__(func, types, args, kwargs)
            if isinstance(result, torch.Tensor) and result.shape[2:] == (64, 64):
                dtypes.add(result.dtype)
            return result

    with FakeTensorMode(allow_non_fake_inputs=True):
        head = build('ASPPHead', True)
        x = torch.empty(2, 8, 64, 64, dtype=torch.bfloat16)
        with torch.autocast('cpu', torch.bfloat16), Seen():
            head([x])
    assert dtypes == {torch.bfloat16}


def test_heads_derived_from_mmsegs_run_as_they_are():
    class Mine(ASPPHead):
        pass

    assert not hasattr(chunked_class(Mine), 'recomputes')


def test_a_last_convolution_of_another_kind_is_left_to_mmseg():
    def run(summed):
        head = build('ASPPHead', summed)
        head.bottleneck = ConvModule(24, 6, 3, padding=2, dilation=2, norm_cfg=BN)
        nn.init.ones_(head.bottleneck.conv.weight)
        torch.manual_seed(1)
        with recomputing([head] * summed):
            return head([torch.randn(2, 8, 8, 9)])

    assert torch.equal(run(True), run(False))


@pytest.mark.parametrize('needs_input', [False, True])
def test_convolutions_of_one_input_are_torchs(needs_input):
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(4, 5, 1),
        nn.Conv2d(4, 5, 3, padding=2, dilation=2),
        nn.Conv2d(4, 3, 3, padding=1),
    ]
    for layer in layers:
        layer.double().bias = None
    x = torch.randn(3, 4, 7, 6, dtype=torch.double, requires_grad=needs_input)
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    wanted = [*parameters, *([x] * needs_input)]

    def run(convolve):
        outputs = convolve(x)
        loss = sum((output * output.sin()).sum() for output in outputs)
        return outputs, torch.autograd.grad(loss, wanted)

    actual = run(partial(convolve_each, convolutions=layers))
    expected = run(lambda x: [layer(x) for layer in layers])
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)
