# InfoPro, K=2: narrow local heads, the image rebuilt at half of its resolution. The boundary is
# named, since in so small a network the least memory would be that of cutting off the stem alone.
_base_ = './e2e_deeplabv3_r18.py'
model = dict(
    type='InfoProEncoderDecoder',
    backbone=dict(type='InfoProResNetV1c'),
    local=dict(
        boundaries=['layer2.0'],
        heads=[
            dict(type='FCNHead', channels=64, num_convs=1, concat_input=False),
            dict(type='ReconstructionHead', channels=64, downscale=2, loss_weight=1.5),
        ],
    ),
)
