"""Every test runs in mmseg's registry scope."""

import os
from collections.abc import Iterator

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope

import mmseg_infopro  # noqa: F401
from mmseg_infopro.files.cache import VARIABLE
from mmseg_infopro.local.streams import SEED

os.environ[VARIABLE] = 'off'  # measure, in the commands that tests start too


@pytest.fixture(autouse=True)
def mmseg_scope() -> Iterator[None]:
    """The scope that a Runner sets: mmseg's `LoadAnnotations`, not mmcv's."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture(autouse=True)
def no_run_before() -> None:
    """Forget the iteration of Runners of other tests in this process."""
    hub = MessageHub.get_current_instance()
    hub.update_info('iter', None)
    hub.update_info(SEED, None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `cuda` where there is no GPU."""
    if item.get_closest_marker('cuda') and not torch.cuda.is_available():
        pytest.skip('needs a GPU, and torch finds none on this machine')
