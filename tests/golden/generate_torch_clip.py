"""Writes torch_clip.json: clip_grad_norm_ of PyTorch in every order of the norm, where sums are long, overflow or are not finite.

    pip install torch==2.15.0 numpy==2.4.6 && ATEN_CPU_CAPABILITY=default python tests/golden/generate_torch_clip.py

One thread. A case has the gradients before and after, and the total norm: 8 hexadecimal digits a float32, 16 a float64.
"""

import json
import pathlib

import numpy as np
import torch

draw = np.random.default_rng(20260301)


def bits(tensor):
    array = tensor.numpy().reshape(-1)
    return [value.byteswap().tobytes().hex() for value in array]


def case(gradients, max_norm=1.0, norm_type=2.0):
    parameters = []
    for gradient in gradients:
        parameter = torch.nn.Parameter(torch.zeros(gradient.shape, dtype=torch.from_numpy(gradient).dtype))
        parameter.grad = torch.from_numpy(gradient.copy())
        parameters.append(parameter)
    before = [bits(parameter.grad) for parameter in parameters]
    total = torch.nn.utils.clip_grad_norm_(parameters, max_norm, norm_type=norm_type)
    order = norm_type if np.isfinite(norm_type) else str(norm_type)
    return {
        "max_norm": max_norm,
        "norm_type": order,
        "before": before,
        "total": bits(total),
        "after": [bits(parameter.grad) for parameter in parameters],
    }


def normal(*lengths, dtype=np.float32, scale=1.0):
    return [(draw.standard_normal(length) * scale).astype(dtype) for length in lengths]


def cases():
    for dtype in (np.float32, np.float64):
        for lengths in ((1,), (7, 8, 9), (15, 16, 17, 31), (64, 65), (3,) * 11):
            yield case(normal(*lengths, dtype=dtype), 0.7)
        for order in (1.0, 3.0, 2.5, 0.5, 0.1, 33.3, -1.0, -2.0, 0.0, float("inf"), float("-inf")):
            yield case(normal(9, 20, dtype=dtype), 0.7, order)
    yield case([*normal(9), *normal(9, dtype=np.float64), *normal(5)], 0.7)
    for gradient in ([3e19, 4e19], [1e-30, 2e-30], [np.inf, 1], [np.nan, 1], [-0.0, 0.0], [3e19, np.inf]):
        yield case([np.array(gradient, np.float32)])
    yield case([np.array([3e19, 4e19], np.float64)])
    yield case([np.array([1e200, 1e200], np.float64)])
    yield case([np.array([1e38] * 5, np.float32)], 1.0, 1.0)
    yield case([np.array([3e12, 2e13], np.float32)], 1.0, 3.0)


def main():
    torch.set_num_threads(1)
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases())
    head = f'{{"made_by":"generate_torch_clip.py, torch {torch.__version__.split("+")[0]}","cases":[\n'
    pathlib.Path(__file__).with_name("torch_clip.json").write_text(f"{head}{lines}\n]}}\n")


main()
