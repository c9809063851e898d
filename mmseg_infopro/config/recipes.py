"""Recipes: what a training step keeps and makes again, in a word; no gradient changes.

What does change the training, how many local modules there are and what trains them, is another
choice: ``num_modules`` and ``heads`` or ``method``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from mmengine.config import Config
from mmseg.registry import OPTIMIZERS

from ..local.settings import LocalSettings
from ..local_heads.arguments import constructor_arguments
from ..local_heads.chunking import unchunked
from .step import updates_per_module
from .walk import replaced

BIT_FOR_BIT = 'bit for bit'
TO_ROUNDING = 'to rounding'
"""How exactly a step's gradients and weights are those of the plain step."""


def _anywhere(cfg: Config) -> bool:
    return True


@dataclass(frozen=True)
class Lever:
    """One thing that a step may do to need less, with the same gradients.

    Attributes:
        summary: In a line, what it does.
        exact: :data:`BIT_FOR_BIT` or :data:`TO_ROUNDING`.
        settings: What it sets in a config, by dotted key.
        fits: Whether a config can have it.
    """

    summary: str
    exact: str
    settings: Mapping[str, Any]
    fits: Callable[[Config], bool] = _anywhere


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
        return ', '.join(sorted(kinds)) or BIT_FOR_BIT


def _steps_by_module(cfg: Config) -> bool:
    return updates_per_module(cfg, LocalSettings(num_modules=1, update_per_module=True))


def _has_fused_step(cfg: Config) -> bool:
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    kind = optimizer.get('type')
    found = OPTIMIZERS.get(kind) if isinstance(kind, str) else kind
    if not isinstance(found, type) or not found.__module__.startswith(torch.optim.__name__):
        return False
    excluded = optimizer.get('foreach') or optimizer.get('differentiable')
    return 'fused' in constructor_arguments(found) and not excluded


def _runs_eagerly(cfg: Config) -> bool:
    return not (cfg.get('compile') or cfg.model.get('local', {}).get('compile'))


LEVERS: dict[str, Lever] = {
    'chunked losses': Lever(
        "every decode head's softmax cross-entropy sample by sample, without full-size logits of "
        "the batch; ASPP's branches one by one",
        TO_ROUNDING,
        {'model.local.chunked_losses': True},
    ),
    'update per module': Lever(
        'the optimizer steps after each local module, whose gradients are then gone',
        BIT_FOR_BIT,
        {'model.local.update_per_module': True},
        _steps_by_module,
    ),
    'fused step': Lever(
        'the optimizer step in one kernel, without temporaries as large as the gradients',
        TO_ROUNDING,
        {'optim_wrapper.optimizer.fused': True},
        _has_fused_step,
    ),
    'cheap recompute': Lever(
        'norms, activations and additions are made again in the backward pass, no convolution or '
        'matrix product is',
        BIT_FOR_BIT,
        {'model.local.recompute': 'cheap'},
        _runs_eagerly,
    ),
    'offload': Lever(
        'what the modules save for their backward passes waits in the memory of the host: its '
        'traffic is the cost, and on a CPU it saves nothing',
        BIT_FOR_BIT,
        {'model.local.offload': True},
    ),
    'planned recompute': Lever(
        'of every group of units what costs fewest FLOPs per byte is made again: as much as a cap '
        'needs, without one as much as can be',
        BIT_FOR_BIT,
        {'model.local.recompute': 'auto'},
        _runs_eagerly,
    ),
}
"""All levers by name. A package may add its own, and name it in a recipe."""

FREE = ('chunked losses', 'update per module', 'fused step')

RECIPES: dict[str, Recipe] = {
    'plain': Recipe('nothing: the step as the config has it', ()),
    'free': Recipe('what costs nothing; the default of what is cut', FREE),
    'lean': Recipe('that and bandwidth: no FLOPs are spent', (*FREE, 'cheap recompute')),
    'least': Recipe('that and FLOPs: for the smallest peak', (*FREE, 'planned recompute')),
}
"""All recipes by their word."""
DEFAULT = 'free'


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
    for lever in LEVERS.values():
        for key in lever.settings:
            _holder(cfg, key).pop(_name(key), None)
    cfg.model = replaced(cfg.model, unchunked)
    _set(cfg, names)


def use_default_recipe(cfg: Config) -> None:
    """Add the default recipe to a config that was just made local; what it says itself stays."""
    _set(cfg, RECIPES[DEFAULT].levers)


def recipe_of(cfg: Config) -> str:
    """Return the word of a config: the last one of which it has all that fits it."""
    has = [word for word, recipe in RECIPES.items() if all(_has(cfg, n) for n in recipe.levers)]
    return has[-1]


def _has(cfg: Config, name: str) -> bool:
    lever = LEVERS[name]
    if not lever.fits(cfg):
        return True
    for key, value in lever.settings.items():
        found = _holder(cfg, key).get(_name(key))
        is_plan = value == 'auto' and isinstance(found, (list, tuple))
        if found != value and not is_plan:
            return False
    return True


def _set(cfg: Config, names: Sequence[str]) -> None:
    for name in names:
        if LEVERS[name].fits(cfg):
            for key, value in LEVERS[name].settings.items():
                _holder(cfg, key).setdefault(_name(key), value)


def _name(key: str) -> str:
    return key.rpartition('.')[2]


def _holder(cfg: Config, key: str) -> Any:
    """Return the mapping in which a dotted key is, or would be."""
    holder: Any = cfg
    for name in key.split('.')[:-1]:
        holder = holder.get(name) or {}
    return holder
