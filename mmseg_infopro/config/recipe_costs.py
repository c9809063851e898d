"""What recipes and numbers of local modules cost, as it was measured on one network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .levers import LEVERS
from .recipes import RECIPES

FILE = Path(__file__).with_suffix('.json')
"""Written by ``tools/recipes.py``."""


@cache
def recipe_costs() -> Mapping[str, Any]:
    """Return the figures: shares of end-to-end training's peak, FLOPs and bytes moved."""
    return json.loads(FILE.read_text())


def cells(cost: Mapping[str, float] | None) -> list[str]:
    """Return peak, FLOPs and bandwidth of a row; nothing where it was not measured."""
    if cost is None:
        return ['', '', '']
    return [f'{cost["peak"]:.1%}', f'{cost["flops"] - 1:+.1%}', f'{cost["traffic"] - 1:+.1%}']


def recipe_rows() -> list[list[str]]:
    """Return a row for each recipe: word, what it is, how exact, and what it costs."""
    costs = recipe_costs()['recipes']
    return [
        [word, recipe.summary, recipe.exact, *cells(costs.get(word))]
        for word, recipe in RECIPES.items()
    ]


def lever_rows() -> list[list[str]]:
    """Return a row for each lever alone."""
    costs = recipe_costs()['levers']
    return [
        [name, lever.summary, lever.exact, *cells(costs.get(name))]
        for name, lever in LEVERS.items()
    ]


def training_rows() -> list[list[str]]:
    """Return a row for each number of local modules and form of their heads."""
    return [
        [f'--num-modules {cost["num_modules"]} --heads {cost["heads"]}', *cells(cost)]
        for cost in recipe_costs()['trainings']
    ]


def help_table() -> str:
    """Return both choices as the help of a command shows them."""
    costs = recipe_costs()
    head = f'{"peak":>8}{"FLOPs":>8}{"moved":>8}'
    lines = [
        'Two choices. What a step keeps, with the same gradients; here at '
        f'K={costs["num_modules"]}:',
        f'{"":12}{"gradients":14}{head}',
    ]
    for word, _, exact, *figures in recipe_rows():
        lines.append(f'  {word:10}{exact:14}' + ''.join(f'{figure:>8}' for figure in figures))
    lines.append('What trains the network, which changes it; here by the recipe plain:')
    lines.append(f'{"":42}{head}')
    for words, *figures in training_rows():
        lines.append(f'  {words:40}' + ''.join(f'{figure:>8}' for figure in figures))
    lines.append(f'Relative to end-to-end training of {costs["config"]},')
    lines.append(f'{costs["step"]}, by dry steps; moved: bytes that operations read and write.')
    return '\n'.join(lines)
