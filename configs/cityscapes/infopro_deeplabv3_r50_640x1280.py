# The memory that K=2 saves, spent on the crop: 640x1280.
_base_ = './infopro_deeplabv3_r50.py'
crop_size = (640, 1280)
heads = _base_.model.local.heads
heads[1]['loss_weight'] = 2.0
model = dict(data_preprocessor=dict(size=crop_size), local=dict(heads=heads))
train_pipeline = _base_.train_pipeline
train_pipeline[3]['crop_size'] = crop_size
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(lr=0.015))
