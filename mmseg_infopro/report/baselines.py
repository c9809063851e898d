"""What a user would pick instead: the configs that a local one is compared with."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.config import Config

from ..config.build import takes_argument
from ..config.caps import plain_end_to_end
from ..config.localize import localize
from ..config.resolve import resolve
from ..config.walk import replaced
from ..local_heads.chunking import unchunked
from .way import END_TO_END


def alternatives(cfg: Config, num_modules: Sequence[int] | None = None) -> dict[str, Config]:
    """Return end-to-end training, what else a user might pick, and the local forms.

    Args:
        cfg: Local, or any other config of mmseg.
        num_modules: Numbers of local modules; the config's own partition if not given.

    Returns:
        Resolved configs by the name to show, see :func:`end_to_end_forms` for the first ones.
    """
    trials = end_to_end_forms(cfg)
    for count in num_modules or ():
        if count != 1:
            trials[f'K={count}'] = resolve(localize(cfg, count))
    if num_modules is None:
        local = resolve(cfg)
        trials[f'K={len(local.model.local.boundaries) + 1}'] = local
    return trials


def end_to_end_forms(cfg: Config) -> dict[str, Config]:
    """Return what a user would pick instead of local modules, by the name to show.

    ``E2E`` is the config without any of our savings; ``E2E with_cp`` adds mmseg's gradient
    checkpointing, where the backbone has it; ``E2E lean``, where the config asks for them, losses
    in chunks and recomputing.
    """
    lean = localize(cfg, 1)
    if lean.model.local.get('recompute') == 'auto':
        lean.model.local.recompute = 'cheap'
    plain = plain_end_to_end(cfg)
    forms = {END_TO_END['e2e']: resolve(plain)}
    if takes_argument(plain.model.backbone, 'with_cp'):
        forms[END_TO_END['with_cp']] = checkpointed = resolve(plain)
        checkpointed.model.backbone.with_cp = True
    local = lean.model.local
    chunks = local.get('chunked_losses') or replaced(lean.model, unchunked) != lean.model
    if chunks or local.get('recompute', 'none') != 'none':
        forms['E2E lean'] = resolve(lean)
    return forms
