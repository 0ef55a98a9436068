"""Writes dense_torch.json: loss, logits and gradients of two small networks from PyTorch.

    pip install torch && python tests/golden/generate_dense.py

PyTorch computes in float64 here, so that what a test compares with is the true value and its tolerance covers the rounding
of float32 on our side only. Weights and inputs are multiples of 1/64: exact in float32 and short in JSON.
"""

import json
import pathlib

import torch


def sixty_fourths(generator, *shape):
    return torch.randint(-64, 65, shape, generator=generator).to(torch.float64) / 64


def numbers(tensor):
    return [float(f"{value:.12g}") for value in tensor.flatten().tolist()]


def case(layers, batch, seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = sixty_fourths(generator, batch, layers[0])
    labels = torch.randint(0, layers[-1], (batch,), generator=generator)
    variables = []
    for size_in, size_out in zip(layers, layers[1:]):
        variables.append(sixty_fourths(generator, size_in, size_out).requires_grad_())  # [inputs][outputs], as in Keras
        variables.append(sixty_fourths(generator, size_out).requires_grad_())
    values = inputs
    for kernel, bias in zip(variables[0::2], variables[1::2]):
        values = torch.nn.functional.linear(torch.relu(values) if kernel is not variables[0] else values, kernel.T, bias)
    loss = torch.nn.functional.cross_entropy(values, labels)
    loss.backward()
    return {
        "layers": layers,
        "inputs": numbers(inputs),
        "labels": labels.tolist(),
        "variables": [numbers(variable) for variable in variables],
        "logits": numbers(values),
        "loss": loss.item(),
        "gradients": [numbers(variable.grad) for variable in variables],
    }


def main():
    cases = [case([5, 7, 3], 4, 1), case([9, 16, 8, 4], 6, 2)]
    path = pathlib.Path(__file__).with_name("dense_torch.json")
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases)
    torch_version = torch.__version__.split("+")[0]
    path.write_text(f'{{"made_by":"generate_dense.py, torch {torch_version}, float64","cases":[\n{lines}\n]}}\n')


main()
