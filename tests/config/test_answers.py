"""The sentences on a step's peak: where it is, what it saves, what would lower it."""

from functools import cache

import pytest

from mmseg_infopro import localize, resolve
from mmseg_infopro.config import answers
from mmseg_infopro.config.answers import (
    cuts_lower_it,
    peak_and_saving,
    place_of_peak,
    remedies,
    stronger,
    what_lowers_it,
)
from mmseg_infopro.config.caps import plain_end_to_end
from mmseg_infopro.config.recipes import recipe_of
from mmseg_infopro.config.step import dry_config_step
from mmseg_infopro.measure.sizes import format_bytes
from tests.config.test_localize import plain_config
from tests.models import HEADS


@cache
def cut(channels=8, recipe='plain', batch_size=4):
    """Return a resolved config whose decode head is as heavy as asked for, and its dry step."""
    cfg = plain_config()
    cfg.model.decode_head.update(channels=channels, num_convs=2)
    cfg.train_dataloader.batch_size = batch_size
    cfg = resolve(localize(cfg, 2, heads=HEADS, recipe=recipe))
    return cfg, dry_config_step(cfg)


def test_a_heavy_decode_head_is_the_peak_and_more_modules_do_not_help(monkeypatch):
    monkeypatch.setattr(answers, 'stronger', lambda recipe: ['lean'])
    cfg, step = cut(channels=1024)
    assert place_of_peak(step) == 'local module 1, the last one, with the decode head'
    assert not cuts_lower_it(cfg, step)
    text = what_lowers_it(cfg, step)
    size = format_bytes(step.peak.total)
    assert text.startswith(f'the peak ({size}) is in the decode head, with the last unit: more')
    assert ': more modules would not help; ' in text
    assert '--num-modules' not in text


def test_every_remedy_is_a_dry_step_that_needs_less():
    cfg, step = cut()
    found = {remedy.words: remedy.step.peak.total for remedy in remedies(cfg, step, cuts_help=True)}
    lean = cut(recipe='lean')[1].peak.total
    assert found['--recipe lean'] == lean < 0.98 * step.peak.total
    text = what_lowers_it(cfg, step)
    assert f'--recipe lean gives {format_bytes(lean)}' in text


def test_the_line_of_a_run():
    cfg, step = cut()
    whole = dry_config_step(plain_end_to_end(cfg))
    text = peak_and_saving(step, whole)
    share = step.peak.total / whole.peak.total
    assert f'{format_bytes(step.peak.total)} of tensors, {share:.1%} of the' in text
    assert f'{format_bytes(whole.peak.total)} of end-to-end training' in text


def test_a_peak_in_the_update():
    _, step = cut(channels=1024, batch_size=1)
    assert step.peaks_in_update == (place_of_peak(step) == "the optimizer's step")


@pytest.mark.parametrize('word', ['plain', 'free', 'lean'])
def test_the_recipe_of_a_config(word):
    cfg, _ = cut(recipe=word)
    assert recipe_of(cfg) == word


def test_the_recipes_to_try_after_one():
    assert [stronger(word) for word in ('plain', 'free')] == 2 * [['lean', 'least']]
    assert [stronger(word) for word in ('lean', 'least')] == [['least'], []]
