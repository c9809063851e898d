"""Predicted bytes against bytes counted on real tensors, and against hand counts."""

import gc
import logging
from contextlib import nullcontext

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from torch._subclasses.fake_tensor import FakeTensorMode

from mmseg_infopro.measure.fake import UpperBounds, fake_copy
from mmseg_infopro.measure.peaks import DryStep, PeakBytes
from mmseg_infopro.measure.tracker import MemoryTracker, adds_in_place, uses_by_autograd
from tests.models import batch, build, dry_step_peak, model_config

SGD = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))


def real_peak(model, num_steps=2):
    """Count the bytes of real tensors."""
    from mmengine.optim import OptimWrapper

    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    tracker = MemoryTracker()
    tracker.track(model.buffers(), 'buffers')
    tracker.track(model.parameters(), 'parameters')
    with tracker:
        for _ in range(num_steps):
            model.train_step(batch(), wrapper)
            gc.collect()
    return tracker.peak_bytes.total()


@pytest.mark.parametrize('boundaries', [[], ['layer2.1'], ['layer1.1', 'layer3.0']])
def test_a_dry_step_predicts_the_bytes_of_a_real_one(boundaries):
    model = build(model_config(local=dict(boundaries=boundaries)))
    predicted = dry_step_peak(model, SGD, batch).total
    assert predicted == pytest.approx(real_peak(model), rel=0.01)


def test_the_tracker_agrees_with_torchs_own():
    from torch.distributed._tools.mem_tracker import MemTracker

    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3)
    )
    totals = []
    for tracker in (MemTracker(), MemoryTracker()):
        if isinstance(tracker, MemTracker):
            tracker.track_external(model)
        else:
            tracker.track([*model.parameters(), *model.buffers()], 'parameters')
        with tracker:
            model(torch.rand(2, 3, 32, 32)).square().mean().backward()
        model.zero_grad()
        if isinstance(tracker, MemTracker):
            (snapshot,) = tracker.get_tracker_snapshot('peak').values()
            totals.append(snapshot['Total'])
        else:
            totals.append(tracker.peak_bytes.total())
    assert totals[0] == totals[1]


def test_the_parts_are_those_of_sgd_with_momentum():
    model = build(model_config(local=dict(boundaries=['layer2.1'])))
    peak = dry_step_peak(model, SGD, batch)
    num_bytes = sum(4 * parameter.numel() for parameter in model.parameters())
    assert peak.parameters == peak.optimizer_state == num_bytes
    assert 0 <= peak.gradients <= num_bytes
    assert peak.activations == peak.total - 2 * num_bytes - peak.gradients


class ManyWeights(BaseModel):
    """Ten layers of equal size, and next to no activations."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(64, 64, bias=False) for _ in range(10))

    def forward(self, inputs, mode):
        return dict(loss=sum(layer(inputs).mean() for layer in self.layers))


@pytest.mark.parametrize(
    ('optimizer', 'layers'),
    [
        (dict(type='SGD', lr=0.1, momentum=0.9), 3 * 10),
        (dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.1), 4 * 10),
        (dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.1, foreach=False), 3 * 10 + 1),
        (dict(type='AdamW', lr=0.1), 5 * 10),
    ],
)
def test_an_update_makes_the_temporaries_of_a_gpu(optimizer, layers):
    """Beside weights, gradients and state: a decayed gradient, or the root of Adam's variance."""
    wrapper = dict(type='OptimWrapper', optimizer=optimizer)
    peak = dry_step_peak(ManyWeights(), wrapper, lambda: dict(inputs=torch.rand(1, 64)))
    assert peak.total == pytest.approx(layers * 64 * 64 * 4, rel=0.02)


def test_a_dry_step_leaves_the_model_as_it_was():
    model = build(model_config(local=dict(boundaries=['layer2.1'])))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    dry_step_peak(model, SGD, batch)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_mixed_precision_needs_fewer_bytes(dtype):
    cfg = model_config(local=dict(boundaries=['layer2.1']))
    cfg['data_preprocessor']['size'] = (256, 256)
    model = build(cfg)
    amp = dict(SGD, type='AmpOptimWrapper', dtype=dtype, loss_scale='dynamic')
    full, half = (dry_step_peak(model, wrapper, lambda: batch(256)) for wrapper in (SGD, amp))
    # Of this small network, the upsampled logits are the most: they stay in float32.
    assert half.activations < 0.9 * full.activations


@pytest.mark.parametrize('counts', [1, 3])
def test_the_optimizers_state_is_counted_under_accumulation(counts):
    model = build(model_config(local=dict(boundaries=['layer2.1'])))
    peak = dry_step_peak(model, dict(SGD, accumulative_counts=counts), batch)
    assert peak.optimizer_state == sum(p.nbytes for p in model.parameters())


def test_the_optimizer_keeps_nothing_of_parameters_without_gradient():
    model = ManyWeights()
    model.unused = torch.nn.Linear(64, 64)
    peak = dry_step_peak(model, SGD, lambda: dict(inputs=torch.rand(1, 64)))
    assert peak.optimizer_state == 10 * 64 * 64 * 4
    assert peak.parameters == peak.optimizer_state + 65 * 64 * 4
    assert peak.total - peak.parameters == pytest.approx(2 * 10 * 64 * 64 * 4, rel=0.02)


def test_clipping_reads_a_value_and_still_runs_dry():
    model = build(model_config(local=dict(boundaries=['layer2.1'])))
    assert dry_step_peak(model, dict(SGD, clip_grad=dict(max_norm=1.0)), batch).total > 0


def test_a_masked_selection_counts_with_all_its_elements():
    mode = FakeTensorMode()
    with mode, UpperBounds():
        x, mask = torch.rand(4, 5, 6), torch.zeros(5, 6, dtype=torch.bool)
        assert x[:, mask].shape == (4, 30)
        assert mask.nonzero().shape == (30, 2)
        assert torch.masked_select(x, mask).shape == (120,)
        assert x.sum().item() == 1.0


def test_a_fake_copy_shares_nothing():
    layer = torch.nn.Linear(3, 3)
    copy = fake_copy(layer, FakeTensorMode())
    assert copy.weight.shape == layer.weight.shape
    assert type(copy.weight) is not type(layer.weight)


def meeting_gradients(kind):
    point = torch.rand(64, 64, requires_grad=True)
    x, other = point * 2, torch.rand(64, 64, requires_grad=True)
    if kind == 'branches':
        loss = (x * other).sum() + (x @ other).sum() + x.sin().sum()
    elif kind == 'residual':
        loss = torch.relu(x + x @ other @ other).square().sum()
    else:  # one gradient for both inputs, which nobody may write to
        loss = (x + x).exp().sum()
    loss.backward()


@pytest.mark.skipif(uses_by_autograd() is None, reason='this torch does not count uses of tensors')
@pytest.mark.parametrize('kind', ['branches', 'residual', 'same'])
def test_gradients_that_meet_are_added_as_autograd_does_by_itself(kind, monkeypatch):
    with torch.profiler.profile() as profile:
        meeting_gradients(kind)
    expected = sum(event.name == 'aten::add_' for event in profile.events())
    answers = []

    def record(*args, **kwargs):
        answers.append(adds_in_place(*args, **kwargs))
        return answers[-1]

    monkeypatch.setattr('mmseg_infopro.measure.tracker.adds_in_place', record)
    for context in (nullcontext(), FakeTensorMode()):
        answers.clear()
        with context, MemoryTracker():
            meeting_gradients(kind)
        assert sum(answers) == expected
    assert (expected > 0) == (kind != 'same')


def test_the_optimizers_remarks_on_each_parameter_are_for_a_run(capfd):
    model = build(model_config(local=dict(boundaries=['layer2.1'])))
    custom = dict(SGD, paramwise_cfg=dict(custom_keys={'backbone': dict(lr_mult=0.1)}))
    dry_step_peak(model, custom, batch)
    assert 'paramwise_options' not in ''.join(capfd.readouterr())
    assert MMLogger.get_current_instance().isEnabledFor(logging.INFO)


@pytest.mark.parametrize('settings', [dict(dtype=torch.bfloat16), dict(use_fsdp=False)])
def test_mixed_precision_as_mmengine_takes_it(settings):
    model = build(model_config(local=dict(boundaries=['layer2.1'])))
    amp = dict(SGD, type='AmpOptimWrapper')
    assert dry_step_peak(model, dict(amp, **settings), batch) == dry_step_peak(model, amp, batch)


def test_a_peak_in_the_optimizers_step_is_told_from_one_of_a_module():
    parts = PeakBytes(9, 1, 1, 1)
    assert DryStep(parts, (1, 5, 9), (0, 1, None)).peaks_in_update
    assert not DryStep(parts, (9, 5, 3), (None, 1, None)).peaks_in_update
    assert not DryStep(parts, (1, 9, 3), (0, 1, None)).peaks_in_update
    assert not DryStep(parts, (1, 9, 3), (None, None, None)).peaks_in_update
