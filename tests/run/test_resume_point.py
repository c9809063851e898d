"""Which checkpoint a resume takes, whatever a killed run has left behind."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from mmseg_infopro.run.resume_point import find_resume_checkpoint, regular_checkpoints

CONTENT = dict(state_dict=dict(a=torch.ones(3)), meta={}, message_hub={}, optimizer={})


def save(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(CONTENT, folder / name)
    return folder / name


def config(work_dir: Path, **hook: Any) -> Config:
    checkpoint = dict(type='CheckpointHook', **hook)
    return Config(dict(work_dir=str(work_dir), default_hooks=dict(checkpoint=checkpoint)))


@pytest.mark.parametrize('pointer', [None, '', 'gone/iter_1.pth', 'iter_2.pth', 'iter_10.pth'])
def test_the_newest_whole_checkpoint_is_taken(
    tmp_path: Path, pointer: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 'iter_2.pth')
    newest = save(tmp_path, 'iter_10.pth')
    save(tmp_path, 'best_mIoU_iter_12.pth')
    save(tmp_path, 'iter_12.pth.0123abcd.partial')
    if pointer is not None:
        (tmp_path / 'last_checkpoint').write_text(pointer)
    with caplog.at_level(logging.WARNING):
        assert find_resume_checkpoint(config(tmp_path))[0] == str(newest)


def test_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    whole, damaged = save(tmp_path, 'iter_2.pth'), save(tmp_path, 'iter_4.pth')
    content = bytearray(damaged.read_bytes())
    content[content.index(torch.ones(3).numpy().tobytes())] ^= 1
    damaged.write_bytes(content)
    assert find_resume_checkpoint(config(tmp_path))[0] == str(whole)
    whole.unlink()
    with pytest.raises(ValueError, match=r'no checkpoint in .* is whole: iter_4\.pth'):
        find_resume_checkpoint(config(tmp_path))


def test_other_names_and_folders_are_found(tmp_path: Path) -> None:
    outside = save(tmp_path / 'out/run', 'model-7.pth')
    cfg = config(tmp_path / 'run', out_dir=str(tmp_path / 'out'), filename_tmpl='model-{}.pth')
    assert regular_checkpoints(cfg) == [outside]


def test_the_kind_that_was_written_last_counts(tmp_path: Path) -> None:
    epoch, iteration = save(tmp_path, 'epoch_9.pth'), save(tmp_path, 'iter_2.pth')
    os.utime(epoch, (1, 1))
    assert regular_checkpoints(config(tmp_path)) == [iteration, epoch]


def test_a_best_checkpoint_is_none_to_resume(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='a first start takes no --resume'):
        find_resume_checkpoint(config(tmp_path))
    save(tmp_path, 'best_mIoU_iter_12.pth')
    with pytest.raises(ValueError, match=r'it holds only best_mIoU_iter_12\.pth'):
        find_resume_checkpoint(config(tmp_path))
