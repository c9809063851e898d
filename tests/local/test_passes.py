"""Gradients of every schedule against its formula in plain autograd."""

import pytest
import torch
from mmengine.optim import OptimWrapper

from mmseg_infopro.local.clock import at_iteration
from tests.local.by_formula import CONFIGS, Formula, assert_close, gradients_of, stop, twins
from tests.models import KeepGradients, batch, build, gradients

KINDS = pytest.mark.parametrize('kind', ['resnet', 'swin'])
KS = pytest.mark.parametrize('num_modules', [2, 4])
GLOBAL = dict(type='PeriodicGlobal', period=2)


def step(model, iteration=0):
    with at_iteration(iteration):
        log = model.train_step(batch(), KeepGradients.wrap(model))
    return gradients(model), log


@KINDS
@KS
def test_deep_supervision_is_one_graph_with_all_losses(kind, num_modules):
    model, twin = twins(kind, num_modules, schedule=dict(type='DeepSupervision'))
    formula, features = Formula(twin), {}
    state, total = formula.image, 0.0
    for index in range(num_modules):
        state, own = formula.f(index, state)
        features |= own
        total = total + formula.loss(index, state, features)
    found, log = step(model)
    assert_close(found, gradients_of(twin, total))
    assert log['loss'].item() == pytest.approx(total.item(), rel=1e-5)


@KINDS
@KS
def test_neighbours_overlap_as_the_formula_says(kind, num_modules):
    model, twin = twins(kind, num_modules, schedule=dict(type='Overlapping'))
    formula = Formula(twin)
    h, kept, total = [stop(formula.image)], [{}], 0.0
    for index in range(num_modules):
        # All that is left to later modules is detached, features for the decoder included.
        state, own = formula.f(index, h[index])
        features = {**kept[index], **own}
        weight = 1.0 if index == 0 else 0.001
        total = total + weight * formula.loss(index, state, features)
        if index:
            before, earlier = formula.f(index - 1, h[index - 1])
            state, own = formula.f(index, before)
            features = {**kept[index - 1], **earlier, **own}
            total = total + 0.999 * formula.loss(index, state, features)
        h.append(stop(state))
        kept.append(stop({**kept[index], **own}))
    found, log = step(model)
    assert_close(found, gradients_of(twin, total))
    assert log['loss'].item() == pytest.approx(total.item(), rel=1e-5)


@KINDS
@KS
@pytest.mark.parametrize('recompute', ['none', 'module', 'cheap'])
def test_a_global_pass_is_end_to_end_training_bit_for_bit(kind, num_modules, recompute):
    cfg = CONFIGS[kind](num_modules, schedule=dict(GLOBAL, recompute=recompute))
    end_to_end = CONFIGS[kind](num_modules)
    end_to_end['type'] = 'EncoderDecoder'
    end_to_end['backbone']['type'] = end_to_end['backbone']['type'].removeprefix('InfoPro')
    del end_to_end['local']
    model, plain = build(cfg), build(end_to_end)
    state = {n: v for n, v in model.state_dict().items() if not n.startswith('local_heads')}
    plain.load_state_dict(state)
    found, log = step(model, iteration=1)
    expected, plain_log = step(plain)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert log['loss'] == plain_log['loss']
    buffers = dict(model.named_buffers())
    assert all(torch.equal(buffers[n], b) for n, b in plain.named_buffers())


def train(model, iterations, **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
    wrapper = OptimWrapper(optimizer, **kwargs)
    for iteration in iterations:
        with at_iteration(iteration):
            model.train_step(batch(size=32, seed=iteration), wrapper)


@pytest.mark.parametrize('update_per_module', [False, True])
def test_a_global_pass_does_not_move_local_heads(update_per_module):
    cfg = CONFIGS['resnet'](3, schedule=GLOBAL, update_per_module=update_per_module)
    model = build(cfg)
    train(model, [0])
    before = {n: v.clone() for n, v in model.state_dict().items()}
    # Momentum and weight decay would move them without any gradient.
    train(model, [1])
    moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert not any(name.startswith('local_heads') for name in moved)
    assert {n for n, p in model.named_parameters() if not n.startswith('local_heads')} <= moved


@KINDS
def test_finished_modules_of_sequential_training_do_not_change(kind):
    schedule = dict(type='Sequential', shares=[2, 2, 2, 2], max_iters=8)
    model = build(CONFIGS[kind](4, schedule=schedule))
    names = [set(model.module_parameters(k)) for k in range(4)]
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9))
    for iteration in range(8):
        before = {n: v.clone() for n, v in model.state_dict().items()}
        with at_iteration(iteration):
            model.train_step(batch(seed=iteration), wrapper)
        active = iteration // 2
        moved = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
        learned = {n for n in moved if n in set().union(*names)}
        assert learned and learned <= names[active]
        tracked = {n.rpartition('.')[0] for n in moved if n.endswith('num_batches_tracked')}
        assert all(f'{norm}.weight' in names[active] for norm in tracked)


@KINDS
def test_a_stage_of_sequential_training_starts_from_finished_modules_in_prediction(kind):
    schedule = dict(type='Sequential', shares=[1, 1, 1, 1], max_iters=4)
    model, twin = twins(kind, 4, schedule=schedule)
    twin.eval()
    formula = Formula(twin)
    with torch.no_grad():
        state, _ = formula.f(0, formula.image)
    twin.train()
    state, own = formula.f(1, state)
    found, _ = step(model, iteration=1)
    assert_close(found, gradients_of(twin, formula.loss(1, state, own)))


def test_norms_of_modules_that_run_twice_count_once():
    model = build(CONFIGS['resnet'](3, schedule=dict(type='Overlapping')))
    twin = build(CONFIGS['resnet'](3))
    step(model)
    step(twin)
    expected = dict(twin.named_buffers())
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(buffer, expected[name], msg=name)


@pytest.mark.parametrize(
    'schedule', [dict(type='Overlapping'), GLOBAL, dict(type='DeepSupervision')]
)
def test_an_update_per_module_gives_the_weights_of_one_update(schedule):
    models = [
        build(CONFIGS['resnet'](3, schedule=schedule, update_per_module=each))
        for each in (False, True)
    ]
    for model in models:
        train(model, [0, 1, 2])
    one, each = (model.state_dict() for model in models)
    assert all(torch.equal(value, one[name]) for name, value in each.items())


def test_steps_that_accumulate_are_of_one_kind():
    model = build(CONFIGS['resnet'](3, schedule=dict(GLOBAL, period=4)))
    kinds = []
    model.schedule = lambda iteration, k, build=model.schedule: (
        kinds.append(len(build(iteration, k))) or build(iteration, k)
    )
    train(model, range(8), accumulative_counts=2)
    assert kinds == [3, 3, 1, 1, 3, 3, 1, 1]


def test_passes_in_one_graph_give_the_losses_and_accuracies_of_a_step():
    model, twin = twins('resnet', 2, schedule=dict(type='Overlapping'))
    _, log = step(model)
    losses = twin(**twin.data_preprocessor(batch(), True), mode='loss')
    total, values = twin.parse_losses(losses)
    assert total.item() == pytest.approx(log['loss'].item(), rel=1e-6)
    accuracies = [name for name in log if 'acc' in name]
    assert accuracies
    for name in accuracies:
        torch.testing.assert_close(values[name], log[name])
