"""Comparing ways to train one config: what is predicted, what is measured, and the picture."""

from .methods import PRECISIONS, Method, Trial, methods_to_compare, plan_trials
from .pareto import Point, draw_tradeoff, pareto_front
from .report import Report, draw_report, remarks, report_tables
from .rows import Row, benchmark_rows, points_to_draw
from .step_time import StepTimes, time_in_rounds
from .timing import can_time, describe_machine, device_at_hand, real_config_step, time_trials

__all__ = [
    'PRECISIONS',
    'Method',
    'Point',
    'Report',
    'Row',
    'StepTimes',
    'Trial',
    'benchmark_rows',
    'can_time',
    'describe_machine',
    'device_at_hand',
    'draw_report',
    'draw_tradeoff',
    'methods_to_compare',
    'pareto_front',
    'plan_trials',
    'points_to_draw',
    'real_config_step',
    'remarks',
    'report_tables',
    'time_in_rounds',
    'time_trials',
]
