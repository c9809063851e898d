"""The page of methods, its costs and its pictures."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_infopro.config.methods import METHODS, Method
from mmseg_infopro.report.method_costs import add_costs, end_to_end_costs
from mmseg_infopro.report.method_docs import method_page, methods_page
from mmseg_infopro.report.method_pictures import draw_method, steps_of
from mmseg_infopro.report.tiny import tiny_configs

DOCS = Path(__file__).parents[2] / 'docs'


def test_the_docs_are_what_the_command_writes():
    costs = json.loads((DOCS / 'methods.json').read_text())
    assert (DOCS / 'methods.md').read_text() == methods_page(costs)
    for name in METHODS:
        page = (DOCS / f'methods/{name}.md').read_text()
        assert page == method_page(name, costs, '../pictures/methods')
        assert (DOCS / f'pictures/methods/{name}.png').is_file()


def test_every_method_has_its_costs_at_four_and_eight_modules():
    costs = json.loads((DOCS / 'methods.json').read_text())['methods']
    assert set(costs) == set(METHODS) - {'e2e'}
    assert all(set(own) == {'4', '8'} for own in costs.values())
    assert [step['kind'] for step in costs['pgl']['4']] == ['local', 'global']


def test_costs_are_shares_of_end_to_end_training():
    (cfg,) = tiny_configs(['pgl']).values()
    costs = end_to_end_costs(cfg, 'tiny')
    add_costs(costs, cfg, ['pgl', 'deep_supervision'], [2])
    (supervised,) = costs['methods']['deep_supervision']['2']
    assert supervised['peak'] > 1 and supervised['flops'] > 1
    local, end_to_end = costs['methods']['pgl']['2']
    # All modules a second time, forward: a third of a step.
    assert 1.2 < end_to_end['flops'] < 1.4
    assert f'| {max(local["peak"], end_to_end["peak"]):.1%} |' in methods_page(costs)
    assert '- K=2: local ' in method_page('pgl', costs, 'pictures')


def test_a_method_that_is_refused_is_a_row_that_says_so():
    (cfg,) = tiny_configs(['dgl']).values()
    costs = dict(config='tiny', peak=1, flops=1, methods={})
    add_costs(costs, cfg, ['dgl'], [40])
    assert '| refused |' in methods_page(costs)
    page = method_page('dgl', costs, 'pictures')
    assert '- K=40: refused: num_modules must be between' in page


def test_a_pages_settings_are_those_of_the_method(tmp_path):
    page = method_page('contsup_r1', dict(methods={}), 'pictures')
    config = tmp_path / 'settings.py'
    config.write_text(page.partition('```python')[2].partition('```')[0])
    local = Config.fromfile(config).model.local
    assert local.context == METHODS['contsup_r1'].context
    assert local.heads == METHODS['contsup_r1'].heads


def test_pictures_have_a_row_for_each_pass(tmp_path):
    assert [len(passes) for passes in steps_of(METHODS['pgl']).values()] == [3, 1]
    heights = []
    for name in ('deep_supervision', 'infopro', 'pgl'):
        draw_method(name, METHODS[name], tmp_path / 'm.png')
        heights.append(Image.open(tmp_path / 'm.png').height)
    assert heights == sorted(set(heights))


@pytest.mark.parametrize('name', ['mine', 'e2e'])
def test_a_method_of_ones_own_is_drawn(tmp_path, name):
    mine = Method('s', 'f', 'o', 'w', heads=[dict(type='MyHead')])
    draw_method(name, mine, tmp_path / 'mine.svg')
    assert (tmp_path / 'mine.svg').stat().st_size > 1000
