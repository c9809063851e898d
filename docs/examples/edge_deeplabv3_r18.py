"""K=3: a task head at each border; in module 0 edges too, every second iteration."""

_base_ = '../../configs/camvid/infopro_deeplabv3_r18.py'
custom_imports = dict(imports=['docs.examples.edge_method'], allow_failed_imports=False)
model = dict(
    local=dict(
        boundaries=['layer2.0', 'layer3.0'],
        heads=[
            dict(type='FCNHead', num_convs=1, concat_input=False),
            dict(type='EdgeHead', name='edge', at=[0], loss_weight=0.5),
        ],
        schedule=dict(type='EverySecond', head='edge'),
    ),
)
