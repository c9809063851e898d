"""What a user would pick instead: the configs that a local one is compared with."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.config import Config

from ..backbones import boundary_names
from ..config.build import build_end_to_end, takes_argument
from ..config.caps import plain_end_to_end
from ..config.localize import localize
from ..config.resolve import resolve
from ..config.walk import replaced
from ..local.settings import check_num_modules
from ..local_heads.chunking import unchunked
from ..measure.undrawn import undrawn_weights
from .way import Way, way_of

E2E, WITH_CP, LEAN = Way('e2e'), Way('with_cp'), Way('e2e', detail='lean')


def alternatives(cfg: Config, num_modules: Sequence[int] | None = None) -> dict[Way, Config]:
    """Return end-to-end training, what else a user might pick, and the local forms.

    Args:
        cfg: Local, or any other config of mmseg.
        num_modules: Numbers of local modules; the config's own partition if not given.

    Returns:
        Resolved configs by their way, see :func:`end_to_end_forms` for the first ones.
    """
    trials = end_to_end_forms(cfg)
    for count in num_modules or ():
        if count != 1:
            trials[way_of(cfg, count)] = resolve(localize(cfg, count))
    if num_modules is None:
        local = resolve(cfg)
        trials[way_of(cfg, len(local.model.local.boundaries) + 1)] = local
    return trials


def check_counts(cfg: Config, num_modules: Sequence[int]) -> None:
    """Check that a network can be cut into all of some numbers of local modules.

    Raises:
        TypeError: It cannot be cut.
        ValueError: It has too few units.
    """
    with undrawn_weights():
        backbone = build_end_to_end(localize(cfg, 2)).backbone
    for count in num_modules:
        check_num_modules(count, len(boundary_names(backbone)) + 1, type(backbone).__name__)


def end_to_end_forms(cfg: Config) -> dict[Way, Config]:
    """Return what a user would pick instead of local modules.

    ``e2e`` is the config without any of our savings; ``with_cp`` adds mmseg's gradient
    checkpointing, where the backbone has it; ``e2e lean``, where the config asks for them, losses
    in chunks and recomputing.
    """
    lean = localize(cfg, 1)
    if lean.model.local.get('recompute') == 'auto':
        lean.model.local.recompute = 'cheap'
    plain = plain_end_to_end(cfg)
    forms = {E2E: resolve(plain)}
    if takes_argument(plain.model.backbone, 'with_cp'):
        forms[WITH_CP] = checkpointed = resolve(plain)
        checkpointed.model.backbone.with_cp = True
    local = lean.model.local
    chunks = local.get('chunked_losses') or replaced(lean.model, unchunked) != lean.model
    if chunks or local.get('recompute', 'none') != 'none':
        forms[LEAN] = resolve(lean)
    return forms
