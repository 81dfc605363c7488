#!/usr/bin/env bash
# chars2vec ships word vectors: the weights of two LSTM layers, as files, and code that builds the layers without saying
# how their gates are computed. That was Keras' default, a hard sigmoid, until Keras 2.3 made it the sigmoid. The weights
# load in every later Keras 2, without a warning, and the vectors are others than those that were trained.
#
# Seen with chars2vec 0.1.7 on tf_keras 2.21.0, which is Keras 2 (TensorFlow 2.21.0): the squared distance of "gradient"
# and "gradeint" is 0.679; with the gates it was trained with, 0.880.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
"${pip[@]}" tensorflow-cpu==2.21.0 tf_keras==2.21.0 numpy==2.4.6 setuptools==80.9.0 wheel==0.45.1
"${pip[@]}" --no-deps --no-build-isolation chars2vec==0.1.7
TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES= "$work/venv/bin/python" - <<'PY'
import sys
from functools import partial
from importlib.metadata import version

import tf_keras

sys.modules["keras"] = tf_keras  # chars2vec imports it by the name it had
import chars2vec


def distance():
    vectors = chars2vec.load_model("eng_50").vectorize_words(["gradient", "gradeint"])
    return float(((vectors[0] - vectors[1]) ** 2).sum())


as_it_is = distance()
tf_keras.layers.LSTM = partial(tf_keras.layers.LSTM, recurrent_activation="hard_sigmoid")
as_trained = distance()
print(f"chars2vec {version('chars2vec')} on tf_keras {version('tf_keras')}:")
print(f"squared distance of gradient and gradeint: {as_it_is:.3f}; with hard sigmoids in the gates {as_trained:.3f}")
assert abs(as_it_is - 0.679) < 1e-3 and abs(as_trained - 0.880) < 1e-3, "this has changed"
PY
