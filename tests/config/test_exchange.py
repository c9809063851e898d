"""A cap on several processes leaves room for a bucket of gradients."""

from mmengine.config import Config

from mmseg_infopro.config.fit_cap import exchange_bytes
from tests.models import model_config


def config(**kwargs):
    return Config(dict(model=model_config(local=dict(boundaries=['layer2.1'])), **kwargs))


def test_one_process_exchanges_nothing():
    assert exchange_bytes(config()) == exchange_bytes(config(launcher='none')) == 0


def test_several_processes_hold_one_bucket():
    assert exchange_bytes(config(launcher='pytorch')) == 25 * 2**20


def test_a_bucket_is_at_least_the_largest_parameter():
    cfg = config(launcher='pytorch', model_wrapper_cfg=dict(bucket_cap_mb=0.01))
    # The second convolution of the last stage: 64 x 64 x 3 x 3 numbers of four bytes.
    assert exchange_bytes(cfg) == 64 * 64 * 9 * 4
