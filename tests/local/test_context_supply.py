"""Modules that also get the image, or what earlier modules started from."""

import pytest
import torch
import torch.nn.functional as F

from mmseg_infopro.config.build import for_prediction
from mmseg_infopro.config.trials import PLANNING_ERROR
from mmseg_infopro.local.context import build_contexts
from mmseg_infopro.local.context_supply import ContextSupply, as_map, maps_of
from mmseg_infopro.planning.batch import StepShape
from mmseg_infopro.planning.boundaries import module_peaks
from mmseg_infopro.planning.unit_costs import measure_step
from tests.local.by_formula import CONFIGS, Formula, assert_close, gradients_of, stop, twins
from tests.models import KeepGradients, batch, build, dry_step_peak, gradients

MODES = {
    'E': dict(image=True, history=0),
    'R1': dict(image=False, history=1),
    'R1E': dict(image=True, history=1),
    'R2': dict(image=False, history=2),
}


def context(mode, **settings):
    return dict(type='ContextSupply', **MODES[mode], **settings)


def embed(layers, x, training=True):
    """Return convolution, norm and ReLU, once or several times, by their parameters alone."""
    for layer in layers:
        padding = layer.conv.kernel_size[0] // 2
        x = F.conv2d(x, layer.conv.weight, padding=padding)
        norm = layer.norm
        running = (None, None) if training else (norm.running_mean, norm.running_var)
        x = F.batch_norm(x, *running, norm.weight, norm.bias, training=training).relu()
    return x


def supplied(formula, mode, index, state, inputs, training=True):
    """Return what module ``index`` starts from: sg(h) + E(image) + sum R(sg(contexts))."""
    supply = formula.model.context[formula.model.boundaries[index - 1].replace('.', '-')]
    size = as_map(state).shape[2:]
    total = 0.0

    def embedded(layers, x):
        if not supply.pool_first:  # the paper's order
            return F.adaptive_avg_pool2d(embed(layers, x, training), size)
        return embed(layers, F.adaptive_avg_pool2d(x, size), training)

    if MODES[mode]['image']:
        total = total + embedded(supply.embed_image[0], formula.image)
    newest_first = inputs[::-1] if not MODES[mode]['image'] else inputs[:0:-1]
    for layer, earlier in zip(
        supply.embed_history[0], newest_first[: MODES[mode]['history']], strict=True
    ):
        total = total + embedded([layer], as_map(stop(earlier)))
    if isinstance(state, torch.Tensor):
        return stop(state) + total
    tokens, size = stop(state)
    return tokens + total.flatten(2).transpose(1, 2), size


@pytest.mark.parametrize('kind', ['resnet', 'swin'])
@pytest.mark.parametrize(
    ('num_modules', 'mode', 'pool_first'),
    [(2, 'R1E', True), (3, 'R1E', False), (4, 'E', True), (4, 'R1', True), (4, 'R2', True)],
)
def test_gradients_are_those_of_the_formula(kind, num_modules, mode, pool_first):
    model, twin = twins(kind, num_modules, context=context(mode, pool_first=pool_first))
    formula = Formula(twin)
    inputs, read_off, total = [formula.image], {}, 0.0
    state, own = formula.f(0, formula.image)
    for index in range(num_modules):
        if index:
            start = supplied(formula, mode, index, state, inputs)
            inputs.append(start)
            state, own = formula.f(index, start)
        total = total + formula.loss(index, state, {**read_off, **own})
        read_off |= stop(own)
    log = model.train_step(batch(), KeepGradients.wrap(model))
    assert_close(gradients(model), gradients_of(twin, total))
    assert log['loss'].item() == pytest.approx(total.item(), rel=1e-5)


def test_a_context_trains_with_the_module_that_it_feeds():
    model = build(CONFIGS['resnet'](3, context=context('R1E')))
    data = model.data_preprocessor(batch(), True)
    for index, losses in enumerate(model.pass_losses(data['inputs'], data['data_samples'])):
        model.parse_losses(losses)[0].backward()
        reached = {n.split('.')[1] for n in gradients(model) if n.startswith('context')}
        assert reached == {'layer1-1', 'layer2-1'} - set(['layer2-1', 'layer1-1'][: 2 - index])


def test_prediction_goes_through_the_contexts():
    model = build(CONFIGS['resnet'](3, context=context('R1E'))).eval()
    data = model.data_preprocessor(batch(), False)
    formula = Formula(model)
    with torch.no_grad():
        state, read_off = formula.f(0, formula.image)
        inputs = [formula.image]
        for index in (1, 2):
            start = supplied(formula, 'R1E', index, state, inputs, training=False)
            inputs.append(start)
            state, own = formula.f(index, start)
            read_off |= own
        expected = model.decode_head.forward(formula.features(read_off))
        logits = model._forward(data['inputs'])
        torch.testing.assert_close(logits, expected)
        model.context['layer1-1'].embed_image[0][1].conv.weight.zero_()
        model.context['layer1-1'].embed_image[0][1].norm.bias.fill_(1.0)
        assert not torch.equal(model._forward(data['inputs']), logits)


def hrnet_config():
    cfg = CONFIGS['resnet'](2, context=context('R1E'))
    channels, depths = (4, 8, 16, 32), (1, 1, 1, 1)
    stages = {
        f'stage{n}': dict(
            num_modules=1, num_branches=n, block='BASIC', num_blocks=depths[:n],
            num_channels=channels[:n],
        )
        for n in (2, 3, 4)
    }  # fmt: skip
    stage1 = dict(
        num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1,), num_channels=(4,)
    )
    cfg['backbone'] = dict(type='InfoProHRNet', extra=dict(stage1=stage1, **stages))
    cfg['decode_head'].update(in_channels=4, in_index=0)
    cfg['local']['boundaries'] = ['stage2.0', 'stage3.0']
    del cfg['auxiliary_head']
    return cfg


def test_every_branch_gets_embeddings_of_its_own():
    model, twin = build(hrnet_config()), build(hrnet_config())
    formula, inputs, total = Formula(twin), [], 0.0
    state, _ = formula.f(0, formula.image)
    for index in (1, 2):
        supply = twin.context[twin.boundaries[index - 1].replace('.', '-')]
        total = total + formula.local(index - 1, state)
        start = []
        for branch, x in enumerate(stop(state)):
            image = F.adaptive_avg_pool2d(formula.image, x.shape[2:])
            x = x + embed(supply.embed_image[branch], image)
            for earlier in inputs:  # its finest map
                pooled = F.adaptive_avg_pool2d(earlier[0].detach(), x.shape[2:])
                x = x + embed(supply.embed_history[branch], pooled)
            start.append(x)
        inputs = [start]
        state, _ = formula.f(index, start)
    assert len(start) == 3
    decoded = twin.decode_head.loss(state, formula.samples, {})['loss_ce']
    model.train_step(batch(), KeepGradients.wrap(model))
    assert_close(gradients(model), gradients_of(twin, total + decoded))


def test_class_tokens_and_the_given_state_stay_as_they_are():
    tokens, image = torch.randn(2, 1 + 25, 8), torch.randn(2, 3, 40, 40)
    given = tokens.clone()
    entries = [torch.Size((2, 3, 32, 32)), (torch.Size((2, 1 + 16, 8)), (4, 4))]
    supplied_tokens, size = ContextSupply(entries)((tokens, (5, 5)), image, [image])
    assert size == (5, 5)
    assert torch.equal(tokens, given)
    assert torch.equal(supplied_tokens[:, 0], given[:, 0])
    assert not torch.equal(supplied_tokens[:, 1:], given[:, 1:])


@pytest.mark.parametrize(
    'state', [torch.zeros(2, 3), (torch.zeros(2, 3, 4),), [torch.zeros(3)], {}, dict(size=(2, 3))]
)
def test_a_state_that_is_neither_is_refused(state):
    with pytest.raises(ValueError, match=r'needs a state of maps .* or of tokens .*, got a'):
        maps_of(state)


def test_a_refusal_names_backbone_and_boundary():
    entries, defaults = [torch.Size((2, 3, 32, 32)), torch.Size((2, 8))], {}
    message = r"does not fit behind boundary 'layer1\.0' of InfoProNet: .* tensor of 2 dimensions"
    with pytest.raises(ValueError, match=message):
        build_contexts(context('E'), entries, [(1, 'layer1.0')], defaults, 'InfoProNet')


def test_maps_are_found_in_nested_states_but_for_images():
    image, first, second, tokens = (torch.randn(2, c, 4, 4) for c in (3, 4, 5, 6))
    pair = tokens.flatten(2).transpose(1, 2), (4, 4)
    state = dict(image=image, size=(4, 4), stages=[first, second], backbone=(pair,))
    found = zip(maps_of(state), (first, second, pair), strict=True)
    assert all(value is x for value, x in found)
    entries = [image.shape, dict(state, stages=[first.shape, second.shape])]
    entries[1] |= dict(image=image.shape, backbone=((pair[0].shape, (4, 4)),))
    supplied_state = ContextSupply(entries, history=0)(state, image, [])
    assert supplied_state['image'] is image
    assert not torch.equal(supplied_state['stages'][1], second)
    assert supplied_state['backbone'][0][1] == (4, 4)


def test_nothing_to_embed_is_refused():
    cfg = CONFIGS['resnet'](2, context=dict(type='ContextSupply', image=False, history=0))
    with pytest.raises(ValueError, match=r'behind boundary .*: one of image and history must be'):
        build(cfg)


@pytest.mark.parametrize('has', [True, False])
def test_a_checkpoint_with_contexts_is_told_from_one_without(has):
    with_context, without = (
        CONFIGS['resnet'](2, context=context('E')),
        CONFIGS['resnet'](2),
    )
    trained, other = (with_context, without) if has else (without, with_context)
    state = build(trained).state_dict()
    with pytest.raises(ValueError, match=r'trained with(out)? local\.context'):
        build(other).load_state_dict(dict(state), strict=False)
    other['local']['warm_start'] = True
    build(other).load_state_dict(dict(state), strict=False)


def frozen_config(first, **local):
    cfg = CONFIGS['resnet'](3, context=context('R1E'), **local)
    cfg['local']['boundaries'] = [first, 'layer3.0']
    cfg['backbone']['frozen_stages'] = 2
    return cfg


def test_contexts_that_stand_elsewhere_are_refused_or_fresh():
    state = build(frozen_config('layer1.1')).state_dict()  # the first module has no local heads
    message = r'local\.context behind .*layer1\.1.* has it behind .*layer2\.0.*warm_start'
    with pytest.raises(ValueError, match=message):
        build(frozen_config('layer2.0')).load_state_dict(dict(state), strict=False)
    model = build(frozen_config('layer2.0', warm_start=True), seed=1)
    fresh = {name: value.clone() for name, value in model.context.state_dict().items()}
    assert not model.load_state_dict(dict(state), strict=False).unexpected_keys
    assert all(torch.equal(v, fresh[name]) for name, v in model.context.state_dict().items())


def test_contexts_of_another_mode_are_refused_or_fresh():
    state = build(CONFIGS['resnet'](2, context=context('R1E'))).state_dict()
    other = CONFIGS['resnet'](2, context=context('E'))
    # At K = 2 both have the same parameters: the image is no context beside its embedding.
    build(other).load_state_dict(dict(state))
    with pytest.raises(ValueError, match=r'with another local\.context .*embed_.*warm_start'):
        build(CONFIGS['resnet'](2, context=context('R1'))).load_state_dict(dict(state))
    cfg = CONFIGS['resnet'](2, context=context('R1'), warm_start=True)
    assert not build(cfg).load_state_dict(dict(state), strict=False).unexpected_keys


def test_prediction_keeps_the_partition_of_a_context_only():
    local = CONFIGS['resnet'](2, context=context('E'))['local']
    assert set(for_prediction(local)) == {'boundaries', 'context', 'heads'}
    assert for_prediction(dict(num_modules=3)) == dict(boundaries=[], warm_start=True)
    with pytest.raises(ValueError, match='take the config that the run has dumped'):
        for_prediction(dict(num_modules=3, context=context('E')))


def test_plans_know_what_a_context_holds():
    kind, mode = 'swin', 'R1E'  # whose states hold plain numbers beside tensors
    shape = StepShape(batch_size=8, crop=(64, 64), copies=1)
    sgd = dict(optimizer=dict(type='SGD', lr=0.1))
    model = build(CONFIGS[kind](3, context=context(mode)))
    end_to_end = build(CONFIGS[kind](3) | dict(local=dict(num_modules=1)))
    settings = CONFIGS[kind](3)['local']['heads'], end_to_end.head_defaults(), shape
    step = measure_step(end_to_end, *settings, context_cfg=context(mode))
    planned = max(module_peaks(step, model.boundaries))
    real = dry_step_peak(model, sgd, lambda: batch(batch_size=8)).total
    assert real / PLANNING_ERROR <= planned <= PLANNING_ERROR * real


def test_plans_count_the_activations_and_parameters_of_contexts():
    shape = StepShape(batch_size=2, crop=(64, 64), copies=1)
    end_to_end = build(CONFIGS['resnet'](3) | dict(local=dict(num_modules=1)))
    settings = CONFIGS['resnet'](3)['local']['heads'], end_to_end.head_defaults(), shape
    plain, fed = (measure_step(end_to_end, *settings, context_cfg=c) for c in (None, context('E')))
    (before,), (after,) = ([u for u in s.units if u.name == 'layer2.1'] for s in (plain, fed))
    own = build(CONFIGS['resnet'](2, context=context('E'))).context.parameters()
    assert before.context == 0 < after.context
    assert after.head_parameters - before.head_parameters == sum(p.nbytes for p in own)
