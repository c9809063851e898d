# The memory that K=2 saves, spent on the crop: 640x1280.
_base_ = './infopro_deeplabv3_r50.py'
crop_size = (640, 1280)
model = dict(
    data_preprocessor=dict(size=crop_size),
    local=dict(
        heads=[
            dict(
                type='FCNHead',
                channels=512,
                num_convs=1,
                concat_input=False,
                loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0),
            ),
            dict(type='ReconstructionHead', loss_weight=2.0),
        ]
    ),
)
train_pipeline = _base_.train_pipeline
train_pipeline[3]['crop_size'] = crop_size
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(lr=0.015))
