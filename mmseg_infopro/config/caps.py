"""A memory cap in bytes, also where it is a share of what end-to-end training needs."""

from __future__ import annotations

from mmengine.config import Config

from ..measure.sizes import parse_bytes, parse_share
from .localize import localize
from .step import config_peak


def plain_end_to_end(cfg: Config) -> Config:
    """Return the config's end-to-end form without any of our savings."""
    return localize(cfg, 1, recipe='plain')


def card_bytes(cfg: Config, cap: int | str, margin: int) -> int:
    """Return the bytes of a card that a cap stands for.

    Args:
        cfg: Whose end-to-end step a share is of.
        cap: Bytes, a text as ``'11GiB'``, or a share as ``'40%'``, which is of tensors.
        margin: Bytes of the card that are not for tensors; they come on top of a share.
    """
    share = parse_share(cap)
    if share is None:
        return parse_bytes(cap)
    return int(share * config_peak(plain_end_to_end(cfg)).total) + margin
