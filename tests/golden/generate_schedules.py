"""Writes keras_schedules.json, the recorded points of the learning-rate schedules.

    KERAS_BACKEND=numpy python generate_schedules.py REFERENCE > keras_schedules.json

Needs keras 3.15.1, and scipy and jax, which its numpy backend imports. REFERENCE is the folder with golden_cases.json
and executed_vectors/. What the file has:

closed_forms  the schedule cases of golden_cases.json: Keras's own tests, values from their closed forms in float64
tensorflow    schedules of executed_vectors/keras_3.15.1_tensorflow.json: float32 bits, Keras on TensorFlow 2.21.0.
              Those of tensorflow_2.15.1_legacy_keras.json are the same, bit for bit.
numpy         schedules of executed_vectors/keras_3.15.1_numpy.json: float32 bits, Keras on numpy 1.24.2. Without the
              one of an integer initial rate: rates are always floats here.
order         made here: Keras's own classes on the numpy backend with cos, log and power evaluated in float64 and
              rounded once, so that what is left to compare is the order of operations: float32 bits at order_steps
serialized    made here: keras.optimizers.schedules.serialize of schedules of each class, and of what a user may make

Every schedule is {class_name, config} with the whole config. Bits are 8 hexadecimal digits.
"""
import json
import os
import random
import re
import struct
import sys

import keras
import numpy as np
from keras.src import ops
from keras.src.optimizers.schedules import learning_rate_schedule as source

schedules = keras.optimizers.schedules
FLAGS = r'\b(staircase|cycle)(?=[,)])'


def bits(value):
    return struct.pack('>f', np.float32(value)).hex()


def spec(schedule):
    return {'class_name': type(schedule).__name__, 'config': schedule.get_config()}


def load(*path):
    with open(os.path.join(*path)) as file:
        return json.load(file)


def closed_forms(reference):
    return [
        dict(spec(getattr(schedules, case['schedule'])(**case['args'])), test=case['test'],
             steps=[point['step'] for point in case['points']], values=[point['lr'] for point in case['points']])
        for case in load(reference, 'golden_cases.json')['schedules']['cases']
    ]


def tensorflow(reference):
    return [
        dict(spec(getattr(schedules, entry['class_name'])(**entry['config'])),
             steps=entry['steps'], values=entry['values'])
        for entry in load(reference, 'executed_vectors', 'keras_3.15.1_tensorflow.json')['schedules']
    ]


def numpy(reference):
    return [
        # "ExponentialDecay(0.1,100,0.96,staircase)" is a call in Python but for the flag.
        dict(spec(eval(re.sub(FLAGS, r'\1=True', entry['name']), vars(schedules))),
             steps=entry['steps'], values=entry['lr'])
        for entry in load(reference, 'executed_vectors', 'keras_3.15.1_numpy.json')['schedules']
        if 'INT' not in entry['name']
    ]


class RoundedOnce:
    """keras.ops with cos, log and power in float64, rounded once to float32."""

    def __getattr__(self, name):
        return getattr(ops, name)

    def cos(self, x):
        return np.cos(np.float64(x)).astype(np.float32)

    def log(self, x):
        return np.log(np.float64(x)).astype(np.float32)

    def power(self, x, y):
        return np.power(np.float64(x), np.float64(y)).astype(np.float32)


def order():
    draw = random.Random(20240601)
    rate = lambda: round(10 ** draw.uniform(-4, 0), 6)
    part = lambda: round(draw.uniform(0, 1), 4)
    whole = lambda: draw.randint(3, 400)
    made = []
    for staircase in (False, True):
        made += [
            schedules.ExponentialDecay(rate(), whole(), part(), staircase),
            schedules.ExponentialDecay(rate(), 2.5, -2.0, staircase),
            schedules.InverseTimeDecay(rate(), whole(), part(), staircase),
            schedules.InverseTimeDecay(rate(), 1.5, -part(), staircase),
        ]
    for cycle in (False, True):
        for power in (1.0, 2.0, 3.0, part(), -0.5, 0.0):
            made.append(schedules.PolynomialDecay(rate(), whole(), rate(), power, cycle))
    made += [
        schedules.PiecewiseConstantDecay([5, 40, 70, 200], [rate() for _ in range(5)]),
        schedules.PiecewiseConstantDecay([2.5, 40.5], [rate() for _ in range(3)]),
        schedules.PiecewiseConstantDecay([100, 10, 1, 60], [rate() for _ in range(5)]),
        schedules.CosineDecay(rate(), whole()), schedules.CosineDecay(rate(), whole(), part()),
        schedules.CosineDecay(rate(), 35.5, 1.5), schedules.CosineDecay(rate(), whole(), part(), warmup_steps=20),
        schedules.CosineDecay(rate(), whole(), part(), warmup_target=rate(), warmup_steps=37),
        schedules.CosineDecay(0.0, whole(), warmup_target=rate(), warmup_steps=12.5),
        schedules.CosineDecay(rate(), whole(), warmup_target=rate()),
        schedules.CosineDecay(rate(), 100, warmup_target=rate(), warmup_steps=-5),
        # At step 41 the warm-up's own formula would give 0, and at 8191 the unrounded quotient of logarithms a restart.
        schedules.CosineDecay(3e7, whole(), warmup_target=rate(), warmup_steps=41),
        schedules.CosineDecayRestarts(rate(), 1, 2.0, part()),
    ]
    made += [schedules.CosineDecayRestarts(rate(), draw.randint(2, 30), t_mul, part(), alpha)
             for t_mul in (1.0, 1.1, 1.5, 2.0, 3.0, 0.5, 0.0, -1.0) for alpha in (0.0, part())]
    steps = [0, 1, 2, 3, 5, 9, 10, 11, 29, 40, 41, 60, 99, 100, 250, 1023, 8191, 12345, 16777217, -1, -7, 0.5, 2.75]
    source.ops = RoundedOnce()
    try:
        return steps, [
            dict(spec(schedule), values=[bits(schedule(np.float32(t) if isinstance(t, float) else t)) for t in steps])
            for schedule in made
        ]
    finally:
        source.ops = ops


class Halving(schedules.LearningRateSchedule):
    def __init__(self, start_rate, period):
        self.start_rate, self.period = start_rate, period

    def get_config(self):
        return {'start_rate': self.start_rate, 'period': self.period}


class OwnCosine(schedules.CosineDecay):
    pass


def serialized():
    return [schedules.serialize(schedule) for schedule in (
        schedules.ExponentialDecay(0.1, 100, 0.96),
        schedules.ExponentialDecay(0.1, 100, 0.96, staircase=True, name='mine'),
        schedules.PiecewiseConstantDecay([10, 20], [0.1, 0.05, 0.01]),
        schedules.PiecewiseConstantDecay(np.array([10, 20]), (0.1, 0.05, 0.01)),
        schedules.PolynomialDecay(0.1, 100),
        schedules.PolynomialDecay(0.1, 100, 0.01, 0.5, True),
        schedules.InverseTimeDecay(0.1, 10, 0.5),
        schedules.CosineDecay(0.1, 100),
        schedules.CosineDecay(0.125, 100, 0.25, None, 0.5, 10),
        schedules.CosineDecay(np.float32(0.125), 100),
        schedules.CosineDecayRestarts(0.1, 100),
        schedules.CosineDecayRestarts(0.1, 100, 1.5, 0.5, 0.25, 'mine'),
        Halving(0.1, 30),
        OwnCosine(0.1, 100),
    )]


def lines(items):
    return '[\n' + ',\n'.join(json.dumps(item, separators=(',', ':')) for item in items) + '\n]'


def main():
    [reference] = sys.argv[1:]
    with np.errstate(all='ignore'):
        steps, made = order()
    print(f"""{{"keras":"{keras.__version__}",
"closed_forms":{lines(closed_forms(reference))},
"tensorflow":{lines(tensorflow(reference))},
"numpy":{lines(numpy(reference))},
"order_steps":{json.dumps(steps)},
"order":{lines(made)},
"serialized":{lines(serialized())}}}""")


main()
