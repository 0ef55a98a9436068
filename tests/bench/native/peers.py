"""The Python frameworks as rivals of `npm run bench -- --native`: answers the lines of tests/bench/remote.js.

    python peers.py <torch | torch.compile | tensorflow | optax> <threads>
"""
import os
import sys
import time

import numpy as np

RATE, RHO, MOMENTUM, EPSILON = 1e-6, 0.9, 0.9, 1e-7


def arrays(sizes):
    random = np.random.default_rng(1)
    weights = [random.uniform(-1, 1, size).astype(np.float32) for size in sizes]
    gradients = [random.uniform(-1, 1, size).astype(np.float32) + np.float32(0.01) for size in sizes]
    return weights, gradients


def torch_maker(threads, compiled):
    import torch
    torch.set_num_threads(threads)

    def begin(momentum, centered, sizes):
        weights, gradients = arrays(sizes)
        params = [torch.nn.Parameter(torch.from_numpy(x)) for x in weights]
        for param, gradient in zip(params, gradients):
            param.grad = torch.from_numpy(gradient)
        optimizer = torch.optim.RMSprop(params, lr=RATE, alpha=RHO, eps=EPSILON, momentum=MOMENTUM if momentum else 0,
                                        centered=centered)
        step = optimizer.step
        if compiled:
            inner = torch.compile(lambda: optimizer.step())

            def step():
                with torch.no_grad():
                    inner()
        return step, lambda: params[0].detach().numpy().flat[0]
    return begin


def tensorflow_maker(threads):
    """The fused kernels, which always have a momentum: eagerly for one tensor, as one tf.function for several."""
    os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    def begin(momentum, centered, sizes):
        weights, gradients = arrays(sizes)
        var = [tf.Variable(x) for x in weights]
        ms, mg, mom = [[tf.Variable(tf.zeros_like(x)) for x in weights] for _ in range(3)]
        grad = [tf.constant(g) for g in gradients]
        lr, rho, mu, epsilon = [tf.constant(x, tf.float32) for x in (RATE, RHO, MOMENTUM if momentum else 0, EPSILON)]

        def one(i):
            shared = dict(var=var[i].handle, ms=ms[i].handle, mom=mom[i].handle, lr=lr, rho=rho, momentum=mu,
                          epsilon=epsilon, grad=grad[i])
            if centered:
                tf.raw_ops.ResourceApplyCenteredRMSProp(mg=mg[i].handle, **shared)
            else:
                tf.raw_ops.ResourceApplyRMSProp(**shared)

        @tf.function
        def all_of_them():
            for i in range(len(sizes)):
                one(i)
        return (lambda: one(0)) if len(sizes) == 1 else all_of_them, lambda: var[0].numpy().flat[0]
    return begin


def optax_maker(threads):
    if threads == 1:
        os.environ['XLA_FLAGS'] = '--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1'
    os.environ['JAX_PLATFORMS'] = 'cpu'
    import jax
    import jax.numpy as jnp
    import optax

    def begin(momentum, centered, sizes):
        weights, gradients = arrays(sizes)
        transform = optax.rmsprop(RATE, decay=RHO, eps=EPSILON, centered=centered, momentum=MOMENTUM if momentum else None)
        gradients = [jnp.asarray(g) for g in gradients]
        now = {'params': [jnp.asarray(x) for x in weights]}
        now['state'] = transform.init(now['params'])

        def update(params, state, gradients):
            updates, state = transform.update(gradients, state, params)
            return optax.apply_updates(params, updates), state
        compiled = jax.jit(update, donate_argnums=(0, 1))

        def step():
            now['params'], now['state'] = compiled(now['params'], now['state'], gradients)
            jax.block_until_ready(now['params'])
        return step, lambda: float(now['params'][0].ravel()[0])
    return begin


def main():
    name, threads = sys.argv[1], int(sys.argv[2])
    makers = {
        'torch': lambda: torch_maker(threads, compiled=False),
        'torch.compile': lambda: torch_maker(threads, compiled=True),
        'tensorflow': lambda: tensorflow_maker(threads),
        'optax': lambda: optax_maker(threads),
    }
    begin = makers[name]()
    step = weight = None
    for line in sys.stdin:
        word, *rest = line.split()
        answer = 'ok'
        if word == 'begin':
            kernel, *sizes = rest
            step, weight = begin(kernel != 'plain', kernel == 'centered+momentum', [int(size) for size in sizes])
        elif word == 'run':
            start = time.perf_counter_ns()
            for _ in range(int(rest[0])):
                step()
            answer = time.perf_counter_ns() - start
        elif word == 'weight':
            answer = float(weight())
        else:
            step = weight = None
        print(answer, flush=True)


main()
