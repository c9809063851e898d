# InfoPro, K=4, with fitted local heads.
_base_ = './e2e_deeplabv3_efficientnet_lite0.py'
model = dict(
    type='InfoProEncoderDecoder',
    backbone=dict(type='InfoProEfficientNetLite'),
    local=dict(boundaries=['blocks.2', 'blocks.4', 'blocks.10'], heads='fitted'),
)
