"""Recipes: what a training step keeps and makes again, in a word; no gradient changes.

What does change the training, how many local modules there are and what trains them, is another
choice: ``num_modules`` and ``heads`` or ``method``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mmengine.config import Config

from infopro.words import DEFAULT_RECIPE
from infopro.words import RECIPES as SUMMARIES

from ..local_heads.chunking import unchunked
from .levers import BIT_FOR_BIT, LEVERS, TO_ROUNDING
from .walk import replaced


@dataclass(frozen=True)
class Recipe:
    """Levers that go together.

    Attributes:
        summary: In a line, when to take it.
        levers: Of :data:`LEVERS`.
    """

    summary: str
    levers: Sequence[str]

    @property
    def exact(self) -> str:
        """Return how exactly its steps are plain ones: as the least exact of its levers."""
        kinds = {LEVERS[name].exact for name in self.levers} - {BIT_FOR_BIT}
        others = kinds - {TO_ROUNDING}
        return ', '.join(sorted(others or kinds)) or BIT_FOR_BIT


FREE = ('chunked losses', 'update per module', 'fused step')

RECIPES: dict[str, Recipe] = {
    'plain': Recipe(SUMMARIES['plain'], ()),
    'free': Recipe(SUMMARIES['free'], FREE),
    'lean': Recipe(SUMMARIES['lean'], (*FREE, 'cheap recompute')),
    'least': Recipe(SUMMARIES['least'], (*FREE, 'planned recompute')),
}
"""All recipes by their word."""
DEFAULT = DEFAULT_RECIPE


def find_recipe(word: str) -> Recipe:
    """Return a recipe: one of a word, and of levers that are added to it, as ``'lean+offload'``.

    A lever stands in for one of the recipe that sets the same.

    Raises:
        ValueError: There is none of this word, or no such lever.
    """
    first, *more = str(word).split('+')
    _check_word('recipe', first, RECIPES)
    names = {name.replace(' ', '-'): name for name in LEVERS}
    for lever in more:
        _check_word('what is added to a recipe', lever, names)
    if not more:
        return RECIPES[first]
    added = [names[lever] for lever in more]
    said = {key for name in added for key in LEVERS[name].settings}
    kept = [name for name in RECIPES[first].levers if said.isdisjoint(LEVERS[name].settings)]
    return Recipe(f'{first} with {", ".join(more)}', (*kept, *added))


def _check_word(what: str, word: str, words: Iterable[str]) -> None:
    if word not in words:
        near = get_close_matches(word, words, 1)
        hint = f'; did you mean {near[0]}?' if near else ''
        raise ValueError(f'{what} must be one of {", ".join(words)}, got {word!r}{hint}')


def use_recipe(cfg: Config, word: str) -> None:
    """Put a recipe in place of whatever levers a local config has.

    Raises:
        ValueError: There is no such recipe.
    """
    use_levers(cfg, find_recipe(word).levers)


def use_levers(cfg: Config, names: Sequence[str]) -> None:
    """Put some of :data:`LEVERS` in place of those that a local config has."""
    for lever in reversed(LEVERS.values()):  # what replaced settings of others goes first
        lever.remove(cfg)
    cfg.model = replaced(cfg.model, unchunked)
    add_levers(cfg, names)


def use_default_recipe(cfg: Config) -> None:
    """Add the default recipe to a config that was just made local; what it says itself stays."""
    add_levers(cfg, RECIPES[DEFAULT].levers)


def recipe_of(cfg: Config) -> str:
    """Return the word of a config: the last one of which it has all that fits it."""
    has = [
        word
        for word, recipe in RECIPES.items()
        if all(LEVERS[name].stands_in(cfg) for name in recipe.levers)
    ]
    return has[-1]


def add_levers(cfg: Config, names: Sequence[str]) -> None:
    """Add some of :data:`LEVERS` to a config, as far as they fit; what it says itself stays."""
    for name in names:
        LEVERS[name].add(cfg)
