"""``torch.cuda`` as far as a program asks whether it is there."""

from .arguments import answering


def is_available() -> bool:
    """No: tensors are in the memory of the processor.

    >>> import tinygrad_rnn as tg
    >>> tg.device("cuda" if tg.cuda.is_available() else "cpu")
    'cpu'
    """
    return False


answering(globals())
