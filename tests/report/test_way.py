"""Ways to train by their words."""

import pytest

from mmseg_infopro import localize
from mmseg_infopro.report.way import Way, parse_way, way_of
from tests.config.test_localize import plain_config

PARTITIONS = {'4': ['layer1.1', 'layer2.1', 'layer3.1']}


@pytest.mark.parametrize(
    ('word', 'series'),
    [
        ('e2e', 'e2e'),
        ('with_cp', 'with_cp'),
        ('dgl:4', 'dgl'),
        ('infopro/paper:4', 'infopro/paper'),
    ],
)
def test_a_word_names_a_way(word, series):
    way = parse_way(word)
    assert (way.word, way.series) == (word, series)


@pytest.mark.parametrize(
    ('changes', 'count', 'detail', 'word'),
    [
        ({}, 2, '', 'infopro:2'),
        (dict(heads='paper'), 2, 'cheap', 'infopro/paper:2 cheap'),
        (dict(method='sequential'), 4, 'auto 40%', 'sequential:4 auto 40%'),
        (dict(heads=[dict(type='FCNHead', num_convs=2)]), 3, '', 'local:3'),
        ({}, 1, 'auto 40%', 'k1_auto 40%'),
    ],
)
def test_a_config_says_which_way_it_is(changes, count, detail, word):
    cfg = plain_config()
    local = localize(cfg, 2, **changes) if changes else cfg
    assert way_of(local, count, detail).word == word


def test_a_way_is_a_command_line():
    assert parse_way('infopro/paper:4').arguments(PARTITIONS) == [
        '--boundaries', 'layer1.1', 'layer2.1', 'layer3.1', '--method', 'infopro',
        '--heads', 'paper',
    ]  # fmt: skip
    assert Way('e2e').arguments(PARTITIONS) == []


@pytest.mark.parametrize(
    ('word', 'message'),
    [
        ('infopor:4', "no way to train named 'infopor'; did you mean infopro"),
        ('infopro', "'infopro' needs a number of local modules"),
        ('dgl:1', 'needs a number of local modules from 2 on'),
        ('e2e:4', "e2e has no local modules: write 'e2e'"),
        ('dgl:four', 'a way is written as'),
    ],
)
def test_a_typo_is_a_sentence(word, message):
    with pytest.raises(ValueError, match=message):
        parse_way(word)


def test_a_partition_must_be_written_out():
    with pytest.raises(ValueError, match=r'boundaries for K = 4, and none for 8'):
        parse_way('dgl:8').arguments(PARTITIONS)
