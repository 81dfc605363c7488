"""Layers, losses and initialisers, with PyTorch's names, defaults, shapes and parameter names."""

from . import functional, init, utils
from .cells import GRUCell, LSTMCell, RNNCell, labelled
from .layers import Dropout, Embedding, Linear, ReLU, Sigmoid, Tanh
from .losses import CrossEntropyLoss, MSELoss, NLLLoss
from .module import Module, ModuleList, Parameter, Sequential
from .recurrent import GRU, LSTM, RNN
from .seq2seq import Decoder, Seq2Seq

__all__ = [
    "GRU", "LSTM", "RNN", "CrossEntropyLoss", "Decoder", "Dropout", "Embedding", "GRUCell", "LSTMCell", "Linear",
    "MSELoss", "Module", "ModuleList", "NLLLoss", "Parameter", "RNNCell", "ReLU", "Seq2Seq", "Sequential",
    "Sigmoid", "Tanh", "functional", "init", "labelled", "utils",
]  # fmt: skip
