"""Writes torch_centered.json: the mean gradient of PyTorch's centered RMSprop for any alpha, also beyond 1.

    pip install torch==2.15.0 && ATEN_CPU_CAPABILITY=default python tests/golden/generate_torch_centered.py

A case has the gradients, each that of all elements in one step, and the bits of an element of grad_avg after each step: 8
hexadecimal digits a float32, 16 a float64.
"""

import json
import pathlib

import torch


def case(alpha, dtype, gradients=(0.7, 0.3, 0.3, -1.1)):
    parameter = torch.nn.Parameter(torch.ones(1, dtype=dtype))
    optimizer = torch.optim.RMSprop([parameter], alpha=alpha, centered=True)
    seen = []
    for gradient in gradients:
        parameter.grad = torch.full((1,), gradient, dtype=dtype)
        optimizer.step()
        seen.append(optimizer.state[parameter]["grad_avg"].numpy()[0].byteswap().tobytes().hex())
    return {"alpha": alpha, "dtype": str(dtype).split(".")[1], "gradients": gradients, "grad_avg": seen}


def main():
    alphas = (0.0, 0.3, 0.5, 0.500001, 0.7, 0.99, 1.0, 1.2, 1.4999999, 1.5, 1.50001, 1.9, 2.5)
    cases = [case(alpha, dtype) for dtype in (torch.float32, torch.float64) for alpha in alphas]
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases)
    head = f'{{"made_by":"generate_torch_centered.py, torch {torch.__version__.split("+")[0]}","cases":[\n'
    pathlib.Path(__file__).with_name("torch_centered.json").write_text(f"{head}{lines}\n]}}\n")


main()
