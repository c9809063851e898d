# InfoPro, with every tenth step end to end, K=4.
_base_ = './infopro_deeplabv3_r101.py'
schedule = dict(type='PeriodicGlobal', period=10)
model = dict(local=dict(num_modules=4, schedule=schedule))
