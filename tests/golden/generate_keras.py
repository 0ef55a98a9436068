"""Records what the real Keras does with random combinations of RMSprop's options: keras_combinations.json.

    pip install keras==3.15.1 numpy scipy jax && KERAS_BACKEND=numpy python generate_keras.py > keras_combinations.json

Each case has three variables and seven calls, of which some leave out a gradient. Tensors stay below 8 elements, where
NumPy sums from left to right as TensorFlow does. All numbers are float32 bit patterns in hexadecimal.
"""
import json
import os
import sys
import warnings

os.environ['KERAS_BACKEND'] = 'numpy'
import numpy as np  # noqa: E402
import keras  # noqa: E402

warnings.simplefilter('ignore')
SHAPES = [(2, 3), (5,), ()]
CALLS = 7


def bits(array):
    return ['%08x' % b for b in np.asarray(array, np.float32).ravel().view(np.uint32)]


def case(number, random):
    def maybe(value, chance=0.5):
        return value if random.random() < chance else None

    options = {
        'learning_rate': float(random.choice([0.001, 0.01, 0.1, 1.0])),
        'rho': float(random.choice([0.5, 0.9, 0.95, 0.99])),
        'momentum': float(random.choice([0.0, 0.5, 0.9])),
        'epsilon': float(random.choice([1e-7, 1e-3, 0.1])),
        'centered': bool(random.random() < 0.5),
        'weight_decay': maybe(float(random.choice([0.0, 0.004, 0.1]))),
        'use_ema': bool(random.random() < 0.5),
        'ema_momentum': float(random.choice([0.0, 0.9, 0.99, 1.0])),
        'ema_overwrite_frequency': maybe(int(random.integers(1, 4))),
        'loss_scale_factor': maybe(float(random.choice([3.0, 1024.0]))),
        'gradient_accumulation_steps': maybe(int(random.integers(2, 4))),
    }
    clip = random.choice(['clipnorm', 'global_clipnorm', 'clipvalue', 'none'])
    if clip != 'none':
        options[clip] = float(random.choice([0.1, 1.0, 41.0]))
    variables = [keras.Variable(random.normal(size=shape).astype('float32'), name='abc'[i])
                 for i, shape in enumerate(SHAPES)]
    optimizer = keras.optimizers.RMSprop(**options)
    optimizer.exclude_from_weight_decay(var_names=['b'])
    optimizer.build(variables)
    start = [bits(v.numpy()) for v in variables]
    calls = []
    for _ in range(CALLS):
        gradients = [None if random.random() < 0.15 else
                     (random.normal(size=shape) * 10 ** random.uniform(-3, 1)).astype('float32') for shape in SHAPES]
        if all(g is None for g in gradients):
            gradients[0] = np.ones(SHAPES[0], 'float32')
        # A NumPy array of no dimension becomes a number that Keras cannot accumulate; a Keras tensor does not.
        optimizer.apply([None if g is None else keras.ops.convert_to_tensor(g) for g in gradients], variables)
        calls.append({
            'gradients': [None if g is None else bits(g) for g in gradients],
            'variables': [bits(v.numpy()) for v in variables],
            'state': [int(v.numpy()) if v.name == 'iteration' else bits(v.numpy()) for v in optimizer.variables],
        })
    return {'id': f'combination {number}', 'options': options, 'shapes': SHAPES, 'start': start, 'calls': calls}


cases = [case(number, np.random.default_rng(number)) for number in range(40)]
sys.stdout.write('{"keras":"%s","cases":[\n' % keras.__version__)
sys.stdout.write(',\n'.join(json.dumps(c, separators=(',', ':')) for c in cases) + '\n]}\n')
