"""Keras's legs of a run that goes through JavaScript, for interop.test.js and live.js.

    python keras_peer.py record FOLDER          writes FOLDER/keras_<case>.keras, .weights.h5 and keras.json
    python keras_peer.py begin CASE FILE        trains 5 steps and saves FILE (.keras or .weights.h5)
    python keras_peer.py end CASE FILE          loads FILE, trains from step 8 to 12, prints the state as JSON
    python keras_peer.py straight CASE          trains 12 steps without a file, prints the states at 8 and 12

Needs keras 3.15.1 with its numpy backend (numpy, jax, h5py). The gradient of a weight w in a step is 0.3 w + c with c
in -2 ... 2, in float32. A state is a list of base64 strings: the weights, then the optimizer's variables.
"""
import base64
import json
import os
import sys

os.environ["KERAS_BACKEND"] = "numpy"

import keras
import numpy as np

CASES = {
    "everything": (
        ".keras",
        dict(learning_rate=0.01, momentum=0.9, centered=True, weight_decay=0.01, use_ema=True, ema_overwrite_frequency=2,
             gradient_accumulation_steps=4, clipvalue=3.0),
    ),
    "schedule": (
        ".weights.h5",
        dict(learning_rate=keras.optimizers.schedules.PolynomialDecay(0.1, 10, 0.01), rho=0.95),
    ),
}


def gradient(step, value):
    w = np.asarray(value, np.float32)
    c = ((step * 7 + np.arange(w.size) * 3) % 5 - 2).astype(np.float32).reshape(w.shape)
    return np.float32(0.3) * w + c


def make(case):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([
        keras.Input((3,)), keras.layers.Dense(4, activation="tanh", name="hidden"), keras.layers.Dense(2, name="out"),
    ])
    optimizer = keras.optimizers.RMSprop(name="run", **CASES[case][1])
    model.compile(optimizer, loss="mse")
    optimizer.build(model.trainable_variables)
    return model


def train(model, first, last):
    variables = model.trainable_variables
    for step in range(first, last):
        model.optimizer.apply([gradient(step, v.value) for v in variables], variables)


def state(model):
    arrays = [np.asarray(v.value) for v in [*model.trainable_variables, *model.optimizer.variables]]
    return [base64.b64encode(np.ascontiguousarray(a.astype(np.int32) if a.dtype.kind == "i" else a).tobytes()).decode() for a in arrays]


def begin(case, path):
    model = make(case)
    train(model, 0, 5)
    model.save(path) if path.endswith(".keras") else model.save_weights(path)


def end(case, path):
    if path.endswith(".keras"):
        model = keras.models.load_model(path)
    else:
        model = make(case)
        model.load_weights(path)
    train(model, 8, 12)
    return state(model)


def straight(case):
    model = make(case)
    train(model, 0, 8)
    middle = state(model)
    train(model, 8, 12)
    return {"8": middle, "12": state(model)}


def record(folder):
    for case, (suffix, _) in CASES.items():
        begin(case, os.path.join(folder, f"keras_{case}{suffix}"))
    with open(os.path.join(folder, "keras.json"), "w") as file:
        json.dump({"keras": keras.__version__, "cases": {case: straight(case) for case in CASES}}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    answer = {"record": record, "begin": begin, "end": end, "straight": straight}[command](*arguments)
    if answer is not None:
        json.dump(answer, sys.stdout)
