"""Gradients proven: `check_gradients` compares what backward says with derivatives that no rule had a part in."""

from ..arguments import answering
from ..kinks_nearby import Kink
from .gradients import check_gradients
from .report import Comparison, GradientError, Report
from .tolerances import TOLERANCES, Tolerance, tolerance

__all__ = ["TOLERANCES", "Comparison", "GradientError", "Kink", "Report", "Tolerance", "check_gradients", "tolerance"]


answering(globals())
