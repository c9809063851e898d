# The control: InfoPro's heads, and nothing detached.
_base_ = './infopro_deeplabv3_r18.py'
schedule = dict(type='DeepSupervision')
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], schedule=schedule))
