"""What a written config says of its plan, and what a run says that differs from it."""

from copy import deepcopy

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmseg_infopro import localize, resolve
from mmseg_infopro.config.edit import override_step
from mmseg_infopro.config.writing import note_plan, plan_comment
from tests.config.test_localize import plain_config


@pytest.fixture
def planned():
    cfg = localize(plain_config(), boundaries=['layer2.1'])
    note_plan(cfg, 3 * 2**28)
    return cfg


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', found.append)
    return found


def test_the_comment_says_command_cap_step_and_peak(planned, tmp_path):
    command = ['python', 'tools/fit.py', 'a config.py', '--cap', '2GiB']
    text = plan_comment(planned, command, 2**30, '2GiB')
    assert text.splitlines() == [
        "# written by: python tools/fit.py 'a config.py' --cap 2GiB",
        '# planned for batches of 2 at 64x64 in float32, and a cap of 2GiB',
        '# predicted peak of tensors: 768.00 MiB, 75.0% of end-to-end training',
    ]
    out = tmp_path / 'written.py'
    out.write_text(text + planned.pretty_text)
    assert Config.fromfile(out).model.local == planned.model.local


@pytest.mark.parametrize(
    ('change', 'step'),
    [
        (dict(batch_size=4), 'batches of 4 at 64x64 in float32'),
        (dict(crop=(96, 128)), 'batches of 2 at 96x128 in float32'),
        (dict(amp='bfloat16'), 'batches of 2 at 64x64 in bfloat16'),
    ],
)
def test_another_step_is_one_sentence(planned, warnings, change, step):
    resolve(deepcopy(planned))
    assert not warnings
    override_step(planned, **change)
    resolve(planned)
    (text,) = warnings
    assert f'was planned for batches of 2 at 64x64 in float32, and trains with {step}' in text
    assert 'the predicted peak of 768.00 MiB is not that of this run' in text


def test_another_partition_has_another_plan(planned):
    assert 'planned_for' not in localize(planned, 3).model.local
