"""Every test runs in mmseg's registry scope."""

from collections.abc import Iterator

import pytest
from mmengine.registry import DefaultScope

import mmseg_infopro  # noqa: F401


@pytest.fixture(autouse=True)
def mmseg_scope() -> Iterator[None]:
    """The scope that a Runner sets: mmseg's `LoadAnnotations`, not mmcv's."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield
