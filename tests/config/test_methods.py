"""Methods by name."""

from argparse import ArgumentParser

import pytest
from mmengine.config import Config

from infopro.options import add_partition_arguments
from mmseg_infopro import localize
from mmseg_infopro.config.arguments import apply_method, apply_partition_arguments
from mmseg_infopro.config.methods import METHODS, Method, find_method
from mmseg_infopro.local.infopro_heads import default_heads
from tests.models import model_config

NAMES = (
    'infopro, infopro_contrast, greedy, dgl, predsim, sequential, contsup_e, contsup_r1, '
    'contsup_r1e, pgl, man, manpp, auglocal, overlap, feature_rec, trgl, deep_supervision, e2e'
)


def plain():
    return Config(dict(model=model_config()))


def test_the_field_is_there():
    assert list(METHODS) == NAMES.split(', ')


def test_a_method_replaces_heads_schedule_and_context_and_nothing_else():
    cfg = localize(plain(), 3, method='contsup_r1')
    cfg.model.local.update(schedule=dict(type='DeepSupervision'), recompute='cheap')
    local = localize(cfg, 4, method='overlap').model.local
    assert local.schedule == dict(type='Overlapping')
    assert [head.type for head in local.heads] == ['MLPHead']
    assert 'context' not in local
    assert (local.num_modules, local.recompute) == (4, 'cheap')
    assert METHODS['overlap'].heads[0] is not local.heads[0]


def test_infopro_has_the_default_heads():
    local = localize(localize(plain(), 2, method='dgl'), 2, method='infopro').model.local
    assert [dict(head) for head in local.heads] == default_heads()


def test_end_to_end_training_needs_no_partition():
    assert localize(plain(), method='e2e').model.local.num_modules == 1


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(num_modules=2, method='ovrlap'), 'method must be one of .*; did you mean overlap'),
        (dict(num_modules=2, method='dgl', heads=[dict(type='MLPHead')]), 'leave out one'),
        (dict(num_modules=2, method='e2e'), 'in one module: leave num_modules'),
        (dict(method='dgl'), 'exactly one of num_modules, boundaries, memory_cap, got none'),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        localize(plain(), **arguments)


def parse(*words):
    parser = ArgumentParser()
    add_partition_arguments(parser)
    return parser.parse_args(words)


def test_a_command_line_changes_the_method_and_keeps_the_partition():
    cfg = Config(dict(model=model_config(local=dict(boundaries=['layer2.1']))))
    found = apply_partition_arguments(cfg, parse('--method', 'dgl')).model.local
    assert found.boundaries == ['layer2.1'] and found.heads[0].type == 'MLPHead'
    found = apply_partition_arguments(plain(), parse('--num-modules', '3', '--method', 'greedy'))
    assert found.model.local.heads[0].type == 'LinearHead'
    with pytest.raises(ValueError, match='no local modules: say --num-modules'):
        apply_partition_arguments(plain(), parse('--method', 'dgl'))


def test_commands_with_a_partition_of_their_own_take_a_method():
    assert apply_method(plain(), 'dgl').model.local.heads[0].type == 'MLPHead'
    assert apply_method(plain(), None).model.get('local') is None
    with pytest.raises(ValueError, match='a row of its own anyway'):
        apply_method(plain(), 'e2e')


def test_a_package_may_add_its_own(monkeypatch):
    mine = Method('mine', '0', 'nowhere', 'never', heads=[dict(type='LinearHead', name='mine')])
    monkeypatch.setitem(METHODS, 'mine', mine)
    assert find_method('mine') is mine
    assert localize(plain(), 2, method='mine').model.local.heads[0].name == 'mine'
