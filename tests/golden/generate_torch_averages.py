"""Writes torch_averages.json: AveragedModel of torch.optim.swa_utils, in each of its forms.

    pip install torch==2.15.0 && ATEN_CPU_CAPABILITY=default python tests/golden/generate_torch_averages.py

A case has the function and its decay, the type, and of each update the parameters and the averages behind it: 8 hexadecimal
digits a float32, 16 a float64. `state_dict` is that of the last update, with its keys in their order.
"""

import json
import pathlib

import torch
from torch.optim import swa_utils

generator = torch.Generator().manual_seed(20260301)


def bits(tensor):
    return [value.byteswap().tobytes().hex() for value in tensor.detach().numpy().reshape(-1)]


def case(name, decay, dtype):
    torch.manual_seed(1)
    model = torch.nn.Linear(3, 2).to(dtype)
    made = getattr(swa_utils, name)(*([] if decay is None else [decay])) if name else None
    key = "multi_avg_fn" if name and "multi" in name else "avg_fn"
    averaged = swa_utils.AveragedModel(model, **({key: made} if made else {}))
    steps = []
    for _ in range(6):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=dtype))
        averaged.update_parameters(model)
        steps.append([[bits(p) for p in model.parameters()], [bits(p) for p in averaged.parameters()]])
    state = {key: value.shape for key, value in averaged.state_dict().items()}
    return {"function": name, "decay": decay, "dtype": str(dtype).split(".")[1], "steps": steps, "state_dict": state,
            "n_averaged": averaged.n_averaged.item()}


def main():
    kinds = [(None, None), ("get_swa_multi_avg_fn", None), ("get_swa_avg_fn", None)]
    kinds += [(name, decay) for name in ("get_ema_multi_avg_fn", "get_ema_avg_fn") for decay in (0.0, 0.3, 0.5, 0.9, 0.999, 1.0)]
    cases = [case(name, decay, dtype) for dtype in (torch.float32, torch.float64) for name, decay in kinds]
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases)
    head = f'{{"made_by":"generate_torch_averages.py, torch {torch.__version__.split("+")[0]}","cases":[\n'
    pathlib.Path(__file__).with_name("torch_averages.json").write_text(f"{head}{lines}\n]}}\n")


main()
