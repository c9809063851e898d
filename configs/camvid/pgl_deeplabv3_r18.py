# InfoPro, with every tenth step end to end.
_base_ = './infopro_deeplabv3_r18.py'
schedule = dict(type='PeriodicGlobal', period=10)
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], schedule=schedule))
