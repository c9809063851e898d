# The memory that K=2 saves, spent on the batch: 6 images per GPU, batch 12 on 2 GPUs.
_base_ = './infopro_deeplabv3_r101.py'
model = dict(
    local=dict(
        heads=[
            dict(
                type='FCNHead',
                channels=512,
                num_convs=1,
                concat_input=False,
                loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.1),
            ),
            dict(type='ReconstructionHead', loss_weight=1.0),
        ]
    )
)
optim_wrapper = dict(optimizer=dict(lr=0.015))
train_dataloader = dict(batch_size=6)
auto_scale_lr = dict(base_batch_size=12)
