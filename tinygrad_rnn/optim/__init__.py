"""``torch.optim``'s names: optimizers, learning-rate schedules, averages of parameters."""

from ..arguments import answering
from ..optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from . import lr_scheduler, swa_utils

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler", "swa_utils"]


answering(globals())
