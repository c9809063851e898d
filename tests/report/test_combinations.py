"""The table of what every method combines with."""

from pathlib import Path

import pytest

from mmseg_infopro.config.methods import METHODS
from mmseg_infopro.report import combinations
from mmseg_infopro.report.combinations import CHECKS, WORKS, as_markdown, try_all
from mmseg_infopro.report.tiny import Differs, Run, tiny_configs

TABLE = Path(__file__).parents[2] / 'docs/combinations.md'


@pytest.fixture
def one_process(monkeypatch):
    monkeypatch.setattr(
        combinations, '_try_in_two_processes', lambda cfgs: dict.fromkeys(cfgs, WORKS)
    )


def test_the_docs_have_every_method_and_nothing_fails():
    text = TABLE.read_text()
    rows = [line for line in text.splitlines() if line.startswith('| ')][1:]
    assert [row.split(' | ')[0].strip('| ') for row in rows] == [n for n in METHODS if n != 'e2e']
    assert 'FAILS' not in text
    assert all(title in text for title in (*CHECKS, '2 processes'))


def test_what_raises_is_refused_or_fails(monkeypatch, one_process):
    def refuse(cfg):
        raise ValueError('not with this')

    def differ(cfg):
        raise Differs('it is another')

    checks = dict(steps=CHECKS['steps'], first=refuse, second=refuse, third=differ)
    monkeypatch.setattr(combinations, 'CHECKS', checks)
    table = try_all(tiny_configs(['greedy']))
    assert table == dict(
        greedy={
            'steps': WORKS,
            'first': 'refused: not with this',
            'second': 'refused: not with this',
            'third': 'FAILS: Differs: it is another',
            '2 processes': WORKS,
        }
    )
    text = as_markdown(table)
    assert '| greedy | works | refused (1) | refused (1) | FAILS (2) | works |' in text
    assert '\n1. refused: not with this\n2. FAILS' in text


def test_runs_that_differ_are_seen():
    (cfg,) = tiny_configs(['greedy']).values()
    with pytest.raises(Differs, match='is another'):
        Run(cfg).train(range(1)).must_equal(Run(cfg).train(range(2)))


def test_a_run_that_diverges_is_seen():
    (cfg,) = tiny_configs(['greedy']).values()
    with pytest.raises(Differs, match=r'finite|the loss of iteration'):
        Run(cfg, dict(optimizer=dict(type='SGD', lr=1e30))).train()
