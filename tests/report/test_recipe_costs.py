"""The figures of recipes: measured, kept, and shown in the help and the docs."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mmseg_infopro.config.levers import LEVERS
from mmseg_infopro.config.recipe_costs import help_table, recipe_costs, recipe_rows
from mmseg_infopro.config.recipes import RECIPES
from mmseg_infopro.measure.tracker import MemoryTracker
from mmseg_infopro.measure.traffic import Traffic
from mmseg_infopro.report import recipe_costs as report
from mmseg_infopro.report.recipe_costs import measure_recipes, num_rows
from mmseg_infopro.report.recipe_docs import recipes_page
from tests.config.test_localize import plain_config

PAGE = Path(__file__).resolve().parents[2] / 'docs/recipes.md'


def test_traffic_is_what_kernels_read_and_write():
    traffic = Traffic()
    x, weight = torch.zeros(4, 8), torch.zeros(16, 8)
    with torch.no_grad(), MemoryTracker(watch=traffic):
        y = nn.functional.linear(x, weight)
        y.add_(1)
        y.view(64)
        torch.empty(1000)
    linear = 4 * (4 * 8 + 16 * 8 + 4 * 16)
    assert traffic.num_bytes == linear + 2 * 4 * (4 * 16)


def test_every_row_is_measured_against_end_to_end(monkeypatch):
    monkeypatch.setattr(report, 'HEADS', ('fitted',))
    monkeypatch.setattr(report, 'RECIPES', {word: RECIPES[word] for word in ('plain', 'lean')})
    monkeypatch.setattr(report, 'LEVERS', {'cheap recompute': LEVERS['cheap recompute']})
    advances = []
    costs = measure_recipes(plain_config(), 'tiny', [2], lambda: advances.append(1))
    assert len(advances) == 2 + 1 + 1
    plain, lean, lever = costs['recipes']['plain'], costs['recipes']['lean'], costs['levers']
    assert lean['peak'] < plain['peak']
    assert lean['flops'] == pytest.approx(plain['flops'], rel=0.05)  # the partition may differ
    assert lean['traffic'] > plain['traffic']
    assert lever['cheap recompute']['traffic'] > plain['traffic']
    assert costs['trainings'][0] == dict(num_modules=2, heads='fitted') | plain


def test_what_is_kept_has_every_recipe():
    costs = recipe_costs()
    assert list(costs['recipes']) == list(RECIPES)
    assert num_rows([2, 4, 8]) == len(RECIPES) + len(LEVERS) + len(costs['trainings'])
    peaks = [cost['peak'] for cost in costs['recipes'].values()]
    assert peaks == sorted(peaks, reverse=True)
    lean = costs['recipes']['lean']
    assert (lean['peak'] < 0.475, lean['flops'] < 1.004) == (True, True)


@pytest.mark.parametrize('word', RECIPES)
def test_help_and_page_show_the_figures(word):
    peak = f'{recipe_costs()["recipes"][word]["peak"]:.1%}'
    assert any(line.split()[0] == word and peak in line for line in help_table().splitlines())
    assert all(len(line) <= 100 for line in help_table().splitlines())
    assert f'| {word} | {RECIPES[word].summary} |' in recipes_page()


def test_the_page_has_the_figures():
    page = PAGE.read_text().splitlines()
    rows = [line for line in recipes_page().splitlines() if line.startswith(('| `', '| --num'))]
    recipes = [f'| {" | ".join(row)} |' for row in recipe_rows()]
    missing = [row for row in (*rows, *recipes) if row not in page]
    assert not missing, 'run python tools/recipes.py --docs docs/recipes.md'
