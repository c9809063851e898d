"""Each private name of torch, mmengine and mmseg that the package relies on does what it is for."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from pydoc import locate
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine import dist as mmengine_dist
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmseg.datasets import LoadAnnotations
from mmseg.registry import MODELS
from torch import nn
from torch.distributed.rendezvous import _torchelastic_use_agent_store

import mmseg_infopro
from mmseg_infopro import upstream

from .models import GN, NUM_CLASSES, batch, model_config

PACKAGE = Path(mmseg_infopro.__file__).parent


def wrapper(accumulative_counts: int = 1) -> OptimWrapper:
    optimizer = torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1)
    return OptimWrapper(optimizer, accumulative_counts=accumulative_counts)


@pytest.mark.parametrize(('cls', 'method'), upstream.OVERRIDDEN.items())
def test_the_overridden_methods_are_there(cls: str, method: str) -> None:
    assert callable(getattr(locate(cls), method))


def test_torch_calls_load_from_state_dict_and_mmseg_load_seg_map() -> None:
    called: list[Any] = []

    class Loads(LoadAnnotations):
        def _load_seg_map(self, results: dict[str, Any]) -> None:
            called.append('map')

    class Linear(nn.Linear):
        def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
            called.append('state')

    Loads().transform({})
    Linear(1, 1).load_state_dict({})
    assert called == ['map', 'state']


def test_attention_and_item_are_these_operations() -> None:
    seen = []

    class Sees(upstream.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    maps = torch.zeros(1, 1, 4, 8)
    with Sees():
        nn.functional.scaled_dot_product_attention(maps, maps, maps)
        maps.sum().item()
        training = torch.zeros(1, 1, 4, 8, requires_grad=True)
        nn.functional.scaled_dot_product_attention(training, maps, maps).sum().backward()
    with upstream.FakeTensorMode(), Sees():
        torch.zeros(2, requires_grad=True).sum()
    assert upstream.FLASH_BACKWARD_ON_CPU in [func.overloadpacket for func in seen]
    assert upstream.READ_DEVICE in seen
    assert upstream.FLASH_ATTENTION_ON_CPU in [func.overloadpacket for func in seen]
    assert upstream.READ_VALUE in seen
    assert upstream.FLASH_ATTENTION.default
    assert upstream.FLASH_ATTENTION_BACKWARD.default


def test_a_schema_tells_names_defaults_and_what_is_written_to() -> None:
    arguments = upstream.schema_arguments(torch.ops.aten.add_.Tensor)
    assert [argument.name for argument in arguments] == ['self', 'other', 'alpha']
    assert arguments[2].default_value == 1
    assert [bool(a.alias_info and a.alias_info.is_write) for a in arguments] == [True, False, False]


def test_kernels_are_known_by_dispatch_key() -> None:
    assert upstream.has_kernel('aten::exp', 'AutocastCUDA')
    assert not upstream.has_kernel('aten::relu', 'AutocastCUDA')


def test_an_override_ends_with_its_library() -> None:
    point = torch.ones(1, requires_grad=True)
    library = upstream.aten_overrides()
    library.impl('dropout', lambda tensor, p, train: tensor * 5, 'AutogradCPU')
    during = torch.dropout(point, 0.5, False)
    del library
    assert (during.item(), torch.dropout(point, 0.5, False).item()) == (5, 1)


def test_a_storage_has_one_id_for_all_its_views_fake_ones_too() -> None:
    with upstream.FakeTensorMode():
        tensor, other = torch.zeros(4), torch.zeros(4)
    ids = [upstream.storage_id(t.untyped_storage()) for t in (tensor, tensor[1:], other)]
    assert ids[0] == ids[1] != ids[2]


def test_the_device_of_a_fake_tensor_is_what_its_mode_says() -> None:
    with upstream.FakeTensorMode() as mode:
        for device in ('cpu', 'meta'):
            tensor = torch.zeros(2, device=device)
            with mode:
                assert upstream.device_of(tensor) == upstream.READ_DEVICE(tensor) == tensor.device
    assert upstream.device_of(torch.zeros(2)) == torch.device('cpu')


def test_a_version_counts_what_is_written_in_place() -> None:
    tensor = torch.zeros(4)
    before = upstream.version(tensor)
    tensor[1:].add_(1)
    assert upstream.version(tensor) == before + 1


def test_uses_count_those_that_hold_a_tensor_and_its_storage() -> None:
    tensor = torch.zeros(4)
    before = upstream.use_counts(tensor)
    view = tensor.view(2, 2)
    after = upstream.use_counts(tensor)
    del view
    if hasattr(torch.Tensor, '_use_count'):
        assert before is not None
        assert after is not None
        assert after[1] > before[1]
    else:
        assert before is after is None


def test_a_backward_pass_is_seen() -> None:
    seen = []
    point = torch.zeros(1, requires_grad=True)
    point.register_hook(lambda gradient: seen.append(upstream.in_backward_pass()))
    point.sum().backward()
    assert (seen, upstream.in_backward_pass()) == ([True], False)


@pytest.mark.parametrize('register', ['register_step_pre_hook', 'register_step_post_hook'])
def test_hooks_on_an_optimizers_step_are_seen(register: str) -> None:
    optimizer = wrapper().optimizer
    assert not upstream.has_step_hooks(optimizer)
    getattr(optimizer, register)(lambda *args: None)
    assert upstream.has_step_hooks(optimizer)


@pytest.mark.parametrize('gradient', [1.0, float('inf')])
def test_a_fused_step_knows_of_an_overflow(gradient: float) -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=0.1, fused=True)
    seen: list[Any] = []
    optimizer.register_step_post_hook(lambda own, *_: seen.append(upstream.overflow_of_step(own)))
    parameter.grad = torch.full((2,), gradient)
    scaler = torch.amp.GradScaler('cpu', init_scale=1.0)
    scaler.scale(torch.ones(()))
    scaler.step(optimizer)
    optimizer.step()
    assert [item if item is None else item.item() for item in seen] == [gradient > 1, None]


def test_a_function_may_be_compiled_so_often() -> None:
    import torch._dynamo

    with torch._dynamo.config.patch(recompile_limit=8):
        upstream.allow_compiled_graphs(5)
        assert torch._dynamo.config.recompile_limit == 8
        upstream.allow_compiled_graphs(50)
        assert torch._dynamo.config.recompile_limit == 50


def test_a_budget_of_activations_is_a_setting_for_a_while() -> None:
    import torch._functorch.config as config

    before = config.activation_memory_budget
    with upstream.activation_budget(0.3):
        assert config.activation_memory_budget == 0.3
    assert config.activation_memory_budget == before


def test_a_callback_runs_once_all_gradients_are_there() -> None:
    leaf = torch.ones((), requires_grad=True)
    seen: list[Any] = []
    loss = leaf * 2
    loss.register_hook(lambda _: upstream.at_end_of_backward(lambda: seen.append(leaf.grad)))
    assert not seen
    loss.backward()
    assert seen == [2]


def test_an_uncounted_backward_pass_leaves_the_accumulation_where_it_is() -> None:
    optim_wrapper = wrapper(accumulative_counts=2)
    optim_wrapper.backward(torch.zeros((), requires_grad=True))
    with upstream.uncounted(optim_wrapper):
        optim_wrapper.backward(torch.zeros((), requires_grad=True))
    assert not optim_wrapper.should_update()
    optim_wrapper.backward(torch.zeros((), requires_grad=True))
    assert optim_wrapper.should_update()
    assert upstream.accumulative_counts(optim_wrapper) == 2


def test_a_step_knows_that_it_is_to_end_in_an_update() -> None:
    optim_wrapper = wrapper(accumulative_counts=2)
    optim_wrapper.initialize_count_status(nn.Linear(2, 1), 0, 5)
    found = []
    for _ in range(5):
        found.append(upstream.updates_now(optim_wrapper))
        optim_wrapper.backward(torch.ones((), requires_grad=True))
        assert found[-1] == optim_wrapper.should_update()
    assert found == [False, True, False, True, True]


def test_a_group_stands_for_all_processes_for_a_while() -> None:
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    try:
        before, group = dist.group.WORLD, dist.new_group([0])
        with upstream.as_world(group):
            assert dist.group.WORLD is group
            assert mmengine_dist.get_default_group() is group
        assert dist.group.WORLD is before
        upstream.job_store().set('key', 'value')
        assert upstream.job_store().get('key') == b'value'
    finally:
        dist.destroy_process_group()


def test_who_holds_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ('True', 'False'):
        monkeypatch.setenv('TORCHELASTIC_USE_AGENT_STORE', value)
        assert upstream.launcher_holds_store() is _torchelastic_use_agent_store()
    monkeypatch.delenv('TORCHELASTIC_USE_AGENT_STORE')
    assert upstream.launcher_holds_store() is _torchelastic_use_agent_store() is False


def test_a_runner_tells_whether_seeds_differ_by_rank(tmp_path: Path) -> None:
    for differs in (False, True):
        randomness = dict(seed=1, diff_rank_seed=differs)
        runner = Runner(nn.Linear(1, 1), str(tmp_path), randomness=randomness)
        assert upstream.differs_by_rank(runner) is differs


def test_a_segmentors_parts_are_those_of_its_loss_and_prediction() -> None:
    model = MODELS.build({**model_config(norm=GN), 'auxiliary_head': None})
    data = model.data_preprocessor(batch(), True)
    features = model.extract_feat(data['inputs'])
    losses = upstream.decode_head_losses(model, features, data['data_samples'])
    assert losses.keys() == model.loss(**data).keys()
    logits = upstream.segmentor_logits(model, **data)
    assert logits.shape == (2, NUM_CLASSES, 8, 8)


def test_a_heads_labels_and_inputs() -> None:
    model = MODELS.build(model_config())
    data = model.data_preprocessor(batch(), True)
    features = [torch.rand(2, 4, 8, 8), torch.rand(2, 4, 8, 8)]
    model.decode_head.in_index = 1
    assert upstream.head_inputs(model.decode_head, features) is features[1]
    labels = upstream.stack_labels(model.decode_head, data['data_samples'])
    assert torch.equal(labels[1], data['data_samples'][1].gt_sem_seg.data)


def test_a_preprocessor_tells_what_it_does() -> None:
    plain = MODELS.build(dict(type='SegDataPreProcessor'))
    mean = dict(mean=[1.0] * 3, std=[1.0] * 3)
    normalizing = MODELS.build(dict(type='SegDataPreProcessor', rgb_to_bgr=True, **mean))
    assert (upstream.normalizes(plain), upstream.swaps_channels(plain)) == (False, False)
    assert (upstream.normalizes(normalizing), upstream.swaps_channels(normalizing)) == (True, True)
    assert not upstream.normalizes(nn.Identity())


def test_a_unet_refuses_what_it_cannot_halve() -> None:
    unet = MODELS.build(dict(type='UNet', base_channels=2))
    upstream.check_divisible(unet, torch.zeros(1, 3, 32, 32))
    with pytest.raises(AssertionError, match='divisible'):
        upstream.check_divisible(unet, torch.zeros(1, 3, 24, 24))


def test_a_vision_transformer_adds_its_positions() -> None:
    sizes = dict(img_size=8, patch_size=4, embed_dims=8, num_layers=1, num_heads=1, out_indices=0)
    vit = MODELS.build(dict(type='mmseg.VisionTransformer', drop_rate=0.0, **sizes))
    nn.init.normal_(vit.pos_embed)
    added = upstream.add_positions(vit, torch.zeros(1, 5, 8), (2, 2))
    assert torch.equal(added, vit.pos_embed)


def private_names(tree: ast.AST) -> list[str]:
    """Return what a file asks of others by a private name, besides what it overrides."""
    nodes = list(ast.walk(tree))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    own = {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    own |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    own |= {node.id for node in nodes if isinstance(node, ast.Name)}
    own.add('_exit')  # of os: documented, so public whatever its name
    imported = [node.module or '' for node in nodes if isinstance(node, ast.ImportFrom)]
    parts = [part for module in imported for part in module.split('.')]
    return [name for name in [*(node.attr for node in attributes), *parts]
            if re.match('_[^_]', name) and name not in own]  # fmt: skip


def test_no_other_file_uses_private_names() -> None:
    files = [file for file in PACKAGE.rglob('*.py') if file.name != 'upstream.py']
    found = {file.stem: private_names(ast.parse(file.read_text())) for file in files}
    assert {name: names for name, names in found.items() if names} == {}


def test_a_buffer_set_in_the_table_is_the_layers() -> None:
    norm = nn.BatchNorm2d(2)
    buffers = upstream.own_buffers(norm)
    buffers['running_mean'] = torch.ones(2)
    assert torch.equal(norm.running_mean, torch.ones(2))  # type: ignore[arg-type]


def test_modes_are_not_hidden_from_the_compiler_call_by_call() -> None:
    class Mode(upstream.TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            return func(*args, **(kwargs or {}))

    assert not hasattr(Mode.__torch_dispatch__, '__wrapped__')


def test_a_pure_python_config_is_known_by_its_imports(tmp_path):
    old, new = tmp_path / 'old.py', tmp_path / 'new.py'
    old.write_text("model = dict(type='EncoderDecoder')\n")
    new.write_text('from mmseg.models import EncoderDecoder\nmodel = dict(type=EncoderDecoder)\n')
    assert [upstream.is_pure_python(str(file)) for file in (old, new)] == [False, True]


def test_a_network_of_efficientnet_lite_has_these_parts() -> None:
    package = pytest.importorskip('efficientnet_lite_pytorch')
    network = package.EfficientNet.from_name('efficientnet-lite0')
    conv, norm, blocks = upstream.efficientnet_parts(network)
    assert (conv.out_channels, norm.num_features, len(blocks)) == (32, 32, 16)
    assert upstream.block_widths(blocks[0]) == (32, 16)
    assert upstream.depthwise_convolution(blocks[1]).stride in ((2, 2), [2, 2])


def test_detaching_is_not_seen_by_modes() -> None:
    class Seen(upstream.TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.operations: list[Any] = []

        def __torch_dispatch__(self, func: Any, types: Any, args: Any, kwargs: Any = None) -> Any:
            self.operations.append(func)
            return func(*args, **(kwargs or {}))

    tensor = torch.ones(2, requires_grad=True) * 2
    with Seen() as seen:
        found = upstream.detached(tensor)
        assert seen.operations == []
        tensor.add_(1)
    assert len(seen.operations) == 1
    assert not found.requires_grad
    assert found.tolist() == [3, 3]
    assert upstream.version(found) == upstream.version(tensor) == 1
