"""What `fit` recommends is no worse than what a user finds by hand; ten networks: a campaign."""

import pytest

from tests.tools.fit_by_hand import check_network


@pytest.mark.parametrize(
    ('config', 'step', 'caps'),
    [
        ('configs/streets/e2e_deeplabv3_r18.py', (2, (64, 128)), ['60%', '40%']),
        ('mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py', (2, (128, 256)), ['50%']),
    ],
)
def test_no_way_found_by_hand_is_better(monkeypatch, run_at_root, tmp_path, config, step, caps):
    few = '--num-modules', 1, 2
    said = check_network(monkeypatch, run_at_root, tmp_path, config, step, caps, [2], few)
    assert len(said) == len(caps)
