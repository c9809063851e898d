# AugLocal: heads of fresh units, shaped like a sample of the later ones.
_base_ = './infopro_deeplabv3_r18.py'
grown = dict(type='GrownHead')
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[grown]))
