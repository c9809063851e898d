"""Settings of ``--cfg-options`` as they were typed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction


def read_settings(typed: Sequence[str]) -> dict[str, Any]:
    """Return settings by their dotted keys.

    Args:
        typed: Each as ``key=value``.

    Raises:
        ValueError: A value cannot be read.
    """
    read = Namespace()
    action = DictAction(['--cfg-options'], 'settings')
    try:
        action(ArgumentParser(), read, typed)
    except Exception as error:
        raise ValueError(f'--cfg-options {" ".join(typed)} cannot be read: {error}') from error
    return read.settings
