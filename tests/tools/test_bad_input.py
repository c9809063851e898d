"""What does not fit is one sentence, on every command that takes it."""

import pytest

BENCHMARK = ('benchmark', '--no-time', '--num-modules', 2)
FIT = ('fit', '--cap', '9GiB', '--num-modules', 2)
LOCALIZE = ('localize', '-o', 'out.py')
MEMORY = ('memory', '--num-modules', 2)
TRAIN = ('train', '--work-dir', 'run')
TYPO = ['--recipe', 'leen']
WORDS = "recipe must be one of plain, free, lean, least, got 'leen'; did you mean lean?"


@pytest.mark.parametrize(
    ('command', 'arguments', 'message'),
    [
        (BENCHMARK, TYPO, WORDS),
        (FIT, TYPO, WORDS),
        (LOCALIZE, ['--num-modules', 2, *TYPO], WORDS),
        (MEMORY, TYPO, WORDS),
        (TRAIN, TYPO, WORDS),
        (('fit',), ['--cap', '11'], "11 what? say 11GiB, or a share of E2E's peak as 40%"),
        (('fit',), ['--cap', '9GiB', '--margin', '1'], '1 what? say 1GiB'),
        (('fit',), ['--cap=-5%'], "a share of E2E's peak must be above 0%, got -5%"),
        (BENCHMARK, ['--recompute', 'auto', '--cap', '11'], '11 what? say 11GiB'),
        (TRAIN, ['--memory-cap', '11'], '11 what? say 11GiB'),
        (LOCALIZE, ['--memory-cap', '11'], '11 what? say 11GiB'),
        (TRAIN, ['--cfg-options', 'model.local.memory_cap=11'], 'memory_cap: 11 what? say 11GiB'),
        (MEMORY, ['--cfg-options', 'model.local.memory_margin=1'], 'memory_margin: 1 what?'),
    ],
)
def test_it_is_one_sentence(run, config, command, arguments, message):
    tool, *own = command
    error = run(tool, config, *own, *arguments).error
    assert message in error
    assert error.count('error: ') == 1


PROBE = ('probe', 'no.pth', '--with', 'other.json')


@pytest.mark.parametrize(
    ('command', 'option', 'name'),
    [
        (BENCHMARK, '--json', 'tiny.py'),
        (FIT, '--json', 'tiny.py'),
        (MEMORY, '--json', 'tiny.py'),
        (PROBE, '--json', 'tiny.py'),
        (PROBE, '--json', 'other.json'),
        (PROBE, '--json', 'no.pth'),
        (('test', 'no.pth'), '--out', 'tiny.py'),
    ],
)
def test_no_command_replaces_what_it_reads(run, config, tmp_path, command, option, name):
    (tmp_path / 'no.pth').touch()
    (tmp_path / 'other.json').write_text('{}')
    (tool, *own), before = command, config.read_text()
    error = run(tool, config, *own, option, name).error
    assert f'{option} {name} is what the command reads; name another file' in error
    assert config.read_text() == before


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
