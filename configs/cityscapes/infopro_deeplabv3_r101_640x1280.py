# The memory that K=2 saves, spent on the crop: 640x1280.
_base_ = './infopro_deeplabv3_r101.py'
crop_size = (640, 1280)
reconstruction = dict(_base_.reconstruction, loss_weight=2.0)
model = dict(
    data_preprocessor=dict(size=crop_size), local=dict(heads=[_base_.task, reconstruction])
)
random_crop = dict(_base_.random_crop, crop_size=crop_size)
train_pipeline = [
    _base_.load_image,
    _base_.annotations,
    _base_.random_resize,
    random_crop,
    *_base_.distortions,
    _base_.pack,
]
train_dataloader = dict(dataset=dict(dataset=dict(pipeline=train_pipeline)))
optim_wrapper = dict(optimizer=dict(lr=0.015))
