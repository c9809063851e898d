"""A way to train, by one name: what commands take, what tables and records call it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product

from mmengine.config import Config

from ..config.build import takes_argument
from ..config.localize import local_types, localize
from ..config.methods import METHODS, check_heads_of_method, use_method
from ..config.same_method import method_record
from ..local.infopro_heads import DEFAULT, TASK, check_word

END_TO_END = ('e2e', 'with_cp', 'k1_auto')
"""Ways without local modules: plain, with mmseg's checkpointing, recomputing for a cap."""
OWN = 'local'
"""In place of a method's name, of local modules whose heads and schedule are no known method's."""
WORD = re.compile(r'(?P<method>\w+)(/(?P<heads>\w+))?(:(?P<count>\d+))?')


@dataclass(frozen=True)
class Way:
    """One way to train a network.

    Attributes:
        method: One of :data:`END_TO_END`, or of the methods with local modules.
        num_modules: K.
        heads: Which local heads stand in for the method's default ones, as ``'paper'``.
        detail: What else tells it apart, as what the modules recompute and for which cap.
    """

    method: str
    num_modules: int = 1
    heads: str | None = None
    detail: str = ''

    @property
    def word(self) -> str:
        """Return its name: ``'infopro/paper:4'``, with the detail ``'infopro:2 cheap'``."""
        count = '' if self.method in END_TO_END else f':{self.num_modules}'
        return ' '.join(filter(None, (f'{self._modules}{count}', self.detail)))

    @property
    def series(self) -> str:
        """Return of what the way is one, besides K and the cap."""
        return ' '.join([self._modules, *self.detail.split()[:1]])

    @property
    def _modules(self) -> str:
        return f'{self.method}/{self.heads}' if self.heads else self.method

    def check(self, cfg: Config) -> None:
        """Check that a model can be trained this way.

        Raises:
            TypeError: It cannot be cut.
            ValueError: Its backbone has no gradient checkpointing of mmseg's, or the method not
                these heads.
        """
        if self.heads is not None:
            check_heads_of_method(self.method, check_word(self.heads))
        if self.method == 'with_cp' and not takes_argument(cfg.model.backbone, 'with_cp'):
            kind = cfg.model.backbone.type
            raise ValueError(f'with_cp: backbone {kind} has no gradient checkpointing of its own')
        if self.method not in ('e2e', 'with_cp'):
            local_types(cfg.model)

    def config(self, cfg: Config, partitions: Mapping[str, Sequence[str]]) -> Config:
        """Return what a config becomes by :meth:`arguments`.

        Args:
            cfg: End to end; not changed.
            partitions: As for :meth:`arguments`.
        """
        self.check(cfg)
        if self.method not in ('e2e', 'with_cp'):
            self.arguments(partitions)  # raises without a partition
            boundaries = partitions[str(self.num_modules)]
            return localize(cfg, boundaries=boundaries, method=self.method, heads=self.heads)
        cfg = deepcopy(cfg)
        if self.method == 'with_cp':
            cfg.model.backbone.with_cp = True
        return cfg

    def arguments(self, partitions: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the command line of ``tools/train.py`` for this way.

        Args:
            partitions: Boundaries by K, as text.

        Raises:
            ValueError: There are none for this K, or a cap is needed.
        """
        if self.method == 'e2e':
            return []
        if self.method == 'with_cp':
            return ['--cfg-options', 'model.backbone.with_cp=True']
        if self.method == 'k1_auto':
            raise ValueError('k1_auto recomputes what a cap asks for: it needs --cap')
        if str(self.num_modules) not in partitions:
            raise ValueError(
                f'{self.word}: there are boundaries for K = {", ".join(partitions)}, and none for '
                f'{self.num_modules}'
            )
        heads = ['--heads', self.heads] if self.heads else []
        boundaries = ['--boundaries', *partitions[str(self.num_modules)]]
        return [*boundaries, '--method', self.method, *heads]


def parse_way(word: str) -> Way:
    """Read a way: ``'e2e'``, ``'with_cp'``, ``'dgl:4'``, ``'infopro/paper:4'``.

    Raises:
        ValueError: There is no such way.
    """
    match = WORD.fullmatch(word)
    if match is None:
        raise ValueError(f"a way is written as 'e2e', 'dgl:4' or 'infopro/paper:4', got {word!r}")
    method, heads, count = match['method'], match['heads'], match['count']
    known = [*END_TO_END, *(name for name in METHODS if name not in END_TO_END)]
    if method not in known:
        close = get_close_matches(method, known, 1)
        hint = f'did you mean {close[0]}?' if close else f'valid: {", ".join(known)}'
        raise ValueError(f'there is no way to train named {method!r}; {hint}')
    if method in END_TO_END:
        if heads or count:
            raise ValueError(f'{method} has no local modules: write {method!r}, got {word!r}')
        return Way(method)
    if count is None or int(count) < 2:
        raise ValueError(f'{word!r} needs a number of local modules from 2 on: {method}:4')
    return Way(method, int(count), heads)


def way_of(cfg: Config, num_modules: int, detail: str = '') -> Way:
    """Return the way that a config trains in, or would if it were cut.

    Args:
        cfg: Local, or any other config of mmseg, whose method would be the default one.
        num_modules: K; one module has no method.
        detail: As for :class:`Way`.
    """
    if num_modules == 1:
        if detail.startswith('auto'):
            return Way('k1_auto', detail=detail.removeprefix('auto').strip())
        return Way('e2e', detail=detail)
    local = cfg.model.get('local') or {}
    own = method_record({**local, 'heads': local.get('heads') or DEFAULT}, ())
    for name, form in product(METHODS, TASK):
        trial = Config(dict(model=dict(local={})))
        use_method(trial, name, form)
        if name != 'e2e' and method_record(trial.model.local, ()) == own:
            return Way(name, num_modules, None if form == DEFAULT else form, detail)
    return Way(OWN, num_modules, detail=detail)
