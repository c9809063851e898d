"""Words for recipes, and for what a config was planned for, in the commands that take them."""

import pytest


@pytest.mark.parametrize('tool', ['benchmark', 'fit', 'localize', 'memory', 'train'])
def test_the_help_has_every_recipe(run, tool):
    outcome = run(tool, '--help')
    for word in ('plain', 'free', 'lean', 'least'):
        assert f'{word}: ' in ' '.join(outcome.out.split())


def test_a_config_that_was_planned_for_another_crop_warns(run, config):
    plan = 'dict(batch_size=2, crop=[32, 32], precision="float32", peak_bytes=3000000)'
    config.write_text(config.read_text() + f'model["local"]["planned_for"] = {plan}\n')
    outcome = run('train', config, '--work-dir', 'run')
    assert outcome.status == 0, outcome.err
    assert 'the config was planned for batches of 2 at 32x32 in float32' in outcome.out
