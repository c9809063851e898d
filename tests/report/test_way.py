"""Ways to train by their words."""

import pytest

from mmseg_infopro.report.way import Way, parse_way

PARTITIONS = {'4': ['layer1.1', 'layer2.1', 'layer3.1']}


@pytest.mark.parametrize(
    ('word', 'name'),
    [
        ('e2e', 'E2E'),
        ('with_cp', 'E2E with_cp'),
        ('dgl:4', 'dgl K=4'),
        ('infopro/paper:4', 'infopro (paper heads) K=4'),
    ],
)
def test_a_word_names_a_way(word, name):
    way = parse_way(word)
    assert (way.word, way.name) == (word, name)


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
