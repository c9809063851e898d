# InfoPro, K=2, with the paper's local heads. The boundary is named, since in so small a network the
# least memory would be that of cutting off the stem alone.
_base_ = './e2e_deeplabv3_r18.py'
model = dict(
    type='InfoProEncoderDecoder',
    backbone=dict(type='InfoProResNetV1c'),
    local=dict(boundaries=['layer2.0']),
)
