"""PyTorch's legs of a run that goes through JavaScript, for interop.test.js and live.js.

    ATEN_CPU_CAPABILITY=default python torch_peer.py record FOLDER      writes FOLDER/torch_<case>.safetensors, torch.json
    … begin CASE FILE | end CASE FILE | straight CASE                   as keras_peer.py

Needs torch 2.15.0 and safetensors 0.8.0. The square root alone is replaced, by the correctly rounded one: that of PyTorch's
x86 wheels is MKL's, which is up to 1 ulp off. The gradients are those of keras_peer.py; a state is a list of base64 strings:
the parameters, then of each parameter its buffers in the order of the state dict.
"""
import base64
import json
import os
import sys

import numpy as np
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "python"))
import state_dict as files

def sqrt(tensor):
    return torch.from_numpy(np.sqrt(tensor.numpy()))


torch.Tensor.sqrt = sqrt
torch.Tensor.sqrt_ = lambda tensor: tensor.copy_(sqrt(tensor))

CASES = {
    "plain": dict(lr=0.01),
    "everything": dict(lr=0.01, momentum=0.9, centered=True, weight_decay=0.01, alpha=0.9),
}


class Run:
    def __init__(self, case):
        start = [np.arange(12).reshape(3, 4) / 7 - 1, np.zeros(4), np.arange(8).reshape(4, 2) / 3 - 1, np.ones(2)]
        self.parameters = {f"layer.{i}": torch.tensor(values, dtype=torch.float32) for i, values in enumerate(start)}
        groups = [{"params": list(self.parameters.values())[:2]}, {"params": list(self.parameters.values())[2:], "lr": 0.05}]
        self.optimizer = torch.optim.RMSprop(groups, foreach=False, **CASES[case])
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, step_size=3, gamma=0.5)

    def train(self, first, last):
        for step in range(first, last):
            for p in self.parameters.values():
                c = ((step * 7 + torch.arange(p.numel()) * 3) % 5 - 2).float().reshape(p.shape)
                p.grad = torch.tensor(0.3, dtype=torch.float32) * p + c
            self.optimizer.step()
            self.scheduler.step()

    def save(self, path):
        files.save({
            "model": self.parameters, "optimizer": self.optimizer.state_dict(), "scheduler": self.scheduler.state_dict(),
        }, path)

    def load(self, path):
        saved = files.load(path)
        for name, p in self.parameters.items():
            p.copy_(saved["model"][name].reshape(p.shape))
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scheduler.load_state_dict(saved["scheduler"])

    def state(self):
        buffers = [value for entry in self.optimizer.state_dict()["state"].values() for key, value in entry.items() if key != "step"]
        return [base64.b64encode(t.contiguous().numpy().tobytes()).decode() for t in [*self.parameters.values(), *buffers]]


def begin(case, path):
    run = Run(case)
    run.train(0, 5)
    run.save(path)


def end(case, path):
    run = Run(case)
    run.load(path)
    run.train(8, 12)
    return run.state()


def straight(case):
    run = Run(case)
    run.train(0, 8)
    middle = run.state()
    run.train(8, 12)
    return {"8": middle, "12": run.state()}


def record(folder):
    for case in CASES:
        begin(case, os.path.join(folder, f"torch_{case}.safetensors"))
    with open(os.path.join(folder, "torch.json"), "w") as file:
        json.dump({"torch": torch.__version__, "cases": {case: straight(case) for case in CASES}}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    answer = {"record": record, "begin": begin, "end": end, "straight": straight}[command](*arguments)
    if answer is not None:
        json.dump(answer, sys.stdout)
