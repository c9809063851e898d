"""What a report says of a run, without making one."""

from argparse import Namespace

import pytest
from mmengine.config import Config

from mmseg_infopro.report.run_report import memory_cap


@pytest.mark.parametrize(
    ('hooks', 'cap'),
    [
        ([], None),
        ([dict(type='MemoryHook')], None),
        ([dict(type='OtherHook'), dict(type='MemoryHook', memory_cap='150MiB')], 150 * 2**20),
        ([dict(type='MemoryHook', memory_cap=7)], 7),
    ],
)
def test_the_cap_of_a_run_is_that_of_its_memory_hook(hooks, cap):
    assert memory_cap(Namespace(cfg=Config(dict(custom_hooks=hooks)))) == cap
