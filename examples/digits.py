"""The handwritten digits that scikit-learn ships: 1797 images of 8x8 pixels.

E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning Repository.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_rnn import DataError

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def load(unseen: int = 297) -> tuple[Any, Any, Any, Any]:
    """Images (N, 8, 8) from 0 to 1 and labels (N,) to train on, then the last ``unseen`` of each, to judge by."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError("the digits come with scikit-learn: pip install 'tinygrad_rnn[examples]'") from None
    data = load_digits()
    images, labels = (data.images / 16).astype(np.float32), data.target.astype(np.int64)
    return images[:-unseen], labels[:-unseen], images[-unseen:], labels[-unseen:]
