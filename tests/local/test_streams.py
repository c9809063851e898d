"""Random numbers of local modules depend on the place, not on what ran before."""

import pytest
import torch
from mmengine.logging import MessageHub

from mmseg_infopro.local.clock import at_iteration
from mmseg_infopro.local.streams import SEED
from tests.models import HEADS, KeepGradients, batch, build, gradients, model_config


@pytest.fixture
def hub():
    """A run's message hub, as a Runner and the hook fill it."""
    hub = MessageHub.get_current_instance()
    before = hub.get_info('iter', None)
    hub.update_info(SEED, 5)
    hub.update_info('iter', 7)
    yield hub
    hub.update_info(SEED, None)
    hub.update_info('iter', before)


def model(boundaries=('layer1.1', 'layer3.0'), **local):
    heads = [dict(HEADS[0], dropout_ratio=0.5), HEADS[1]]
    return build(model_config(local=dict(boundaries=list(boundaries), heads=heads, **local)))


def step(net, draws=0):
    torch.rand(draws)
    net.train_step(batch(size=32), KeepGradients.wrap(net))
    return gradients(net)


def equal(one, other):
    return [torch.equal(one[name], other[name]) for name in one]


def test_what_was_drawn_before_does_not_matter(hub):
    assert all(equal(step(model()), step(model(), draws=9)))


def test_every_iteration_and_every_seed_has_its_own(hub):
    first = step(model())
    hub.update_info('iter', 8)
    second = step(model())
    hub.update_info('iter', 7)
    hub.update_info(SEED, 6)
    third = step(model())
    assert not any(all(equal(first, other)) for other in (second, third))


def test_a_module_draws_the_same_whether_others_run_or_not(hub):
    every, alone = model(), model(schedule=dict(type='Sequential', shares=[1, 8, 0], max_iters=9))
    for net in (every, alone):
        # In prediction, as a finished module is, which is all that may differ.
        net.backbone.layer1.eval()
        net.backbone.stem.eval()
    expected, found = step(every), step(alone)
    assert found and all(equal(found, expected))


def test_overlapping_modules_see_the_same_dropout_twice(hub):
    net = model(schedule=dict(type='Overlapping'))
    masks = []
    for head in (net.local_heads['layer3-0'][0],):
        head.dropout.register_forward_hook(lambda *args: masks.append(args[-1] == 0))
    step(net)
    assert len(masks) == 2 and torch.equal(*masks)


def test_dry_steps_draw_nothing(hub):
    with at_iteration(7):
        state = torch.get_rng_state()
        model(boundaries=['layer3.0'])
        torch.set_rng_state(state)
        one = step(model())
        torch.set_rng_state(state)
        other = step(model(), draws=3)
    assert not all(equal(one, other))


def test_end_to_end_training_goes_on_with_the_generator_as_it_is(hub):
    net = build(model_config(local=dict(num_modules=1, recompute='cheap')))
    state = torch.get_rng_state()
    step(net)
    assert torch.equal(torch.get_rng_state(), state)
