"""Writes torch_schedulers.json: what the schedulers of PyTorch do to the groups of an RMSprop, alone and composed.

    pip install torch==2.15.0 && python tests/golden/generate_torch_schedulers.py

A case has the rates of the groups, the scheduler (its class, its arguments under PyTorch's names, and of composed ones their
schedulers), the rate and the momentum of each group before the first step and after each one, and the state dict of the scheduler
after step `middle`. Functions are given by name: FUNCTIONS has them. Numbers are Python's floats, which JSON has exactly; an
infinity is text. `errors` has what PyTorch says of arguments that it refuses.
"""

import copy
import json
import pathlib
import random
import warnings

import torch
from torch.optim import lr_scheduler, swa_utils

STEPS = 40
MIDDLE = 9

FUNCTIONS = {
    "inverse": lambda epoch: 1 / (1 + epoch),
    "ramp": lambda epoch: min(1.0, (epoch + 1) / 8),
    "nearly": lambda epoch: 0.95,
    "growing": lambda epoch: 1 + 0.01 * epoch,
    "reciprocal": lambda x: 1 / x,
    "fading": lambda x: 0.99 / (1 + x / 100),
}


def one(name, *schedulers, **args):
    return {"name": name, "args": args, **({"schedulers": schedulers} if schedulers else {})}


def groups_of(rates):
    return [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": rate} for rate in rates]


def made(optimizer, spec):
    named = {"lr_lambda", "scale_fn"}
    args = {}
    for name, value in spec["args"].items():
        if name in named:
            value = [FUNCTIONS[v] for v in value] if isinstance(value, list) else FUNCTIONS[value]
        args[name] = value
    if spec["name"] == "ChainedScheduler":
        return lr_scheduler.ChainedScheduler([made(optimizer, s) for s in spec["schedulers"]], optimizer=optimizer)
    if "schedulers" in spec:
        args["schedulers"] = [made(optimizer, s) for s in spec["schedulers"]]
    home = swa_utils if spec["name"] == "SWALR" else lr_scheduler
    return getattr(home, spec["name"])(optimizer, **args)


def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, (int, float, str, bool, type(None))) else None


def case(spec, rates=(0.1, 0.02), metrics=None):
    optimizer = torch.optim.RMSprop(groups_of(rates), momentum=0.9)
    scheduler = made(optimizer, spec)
    seen, middle, last = [], None, []
    for step in range(STEPS + 1):
        seen.append([[group["lr"], group["momentum"]] for group in optimizer.param_groups])
        last.append(list(scheduler.get_last_lr()))
        if step == MIDDLE:
            middle = plain(copy.deepcopy(scheduler.state_dict()))
        if step == STEPS:
            break
        optimizer.step()
        try:
            scheduler.step(*([metrics[step]] if metrics else []))
        except ValueError:
            break
    assert last == [[lr for lr, _ in groups] for groups in seen]
    return {"rates": rates, "spec": spec, **({"metrics": metrics} if metrics else {}), "seen": seen, "middle": middle}


def specs():
    step, multi = one("StepLR", step_size=4, gamma=0.7), one("MultiStepLR", milestones=[3, 3, 11, 25], gamma=0.3)
    constant, linear = one("ConstantLR", factor=0.3, total_iters=6), one("LinearLR", start_factor=0.1, total_iters=7)
    exponential = one("ExponentialLR", gamma=0.93)
    polynomial = one("PolynomialLR", total_iters=23, power=0.9)
    cosine = one("CosineAnnealingLR", T_max=11, eta_min=0.001)
    restarts = one("CosineAnnealingWarmRestarts", T_0=3, T_mult=2, eta_min=0.0005)
    one_cycle = one("OneCycleLR", max_lr=[1.0, 0.5], total_steps=50)
    cyclic = one("CyclicLR", base_lr=0.01, max_lr=[0.1, 0.3], step_size_up=4, step_size_down=5)
    inverse, product = one("LambdaLR", lr_lambda="inverse"), one("MultiplicativeLR", lr_lambda=["nearly", "growing"])
    yield from (step, multi, constant, linear, exponential, polynomial, cosine, restarts, one_cycle, cyclic, inverse, product)
    yield one("MultiStepLR", milestones=[])
    yield one("LinearLR", start_factor=1.0, end_factor=0.2, total_iters=13)
    yield one("PolynomialLR", total_iters=17, power=2.5)
    yield one("CosineAnnealingLR", T_max=1)
    yield one("CosineAnnealingWarmRestarts", T_0=4)
    for strategy in ("cos", "linear"):
        for three in (False, True):
            yield one("OneCycleLR", max_lr=0.7, total_steps=39, pct_start=0.27, anneal_strategy=strategy, three_phase=three,
                      div_factor=10.0, final_div_factor=300.0, base_momentum=0.7, max_momentum=[0.9, 0.99])
    yield one("OneCycleLR", max_lr=1.0, epochs=4, steps_per_epoch=11, pct_start=0.05, cycle_momentum=False)
    for mode in ("triangular2", "exp_range"):
        yield one("CyclicLR", base_lr=[0.001, 0.002], max_lr=0.1, step_size_up=3, mode=mode, gamma=0.97, base_momentum=0.5)
    yield one("CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=4, scale_fn="reciprocal", cycle_momentum=False)
    yield one("CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=4, scale_fn="fading", scale_mode="iterations")
    yield one("LambdaLR", lr_lambda=["ramp", "inverse"])
    yield one("MultiplicativeLR", lr_lambda="nearly")
    yield one("SequentialLR", linear, cosine, milestones=[7])
    yield one("SequentialLR", constant, exponential, milestones=[0])
    yield one("SequentialLR", exponential, step, multi, milestones=[5, 5])
    yield one("SequentialLR", step, multi, constant, linear, exponential, polynomial, milestones=[3, 7, 12, 18, 30])
    yield one("SequentialLR", cosine, restarts, cyclic, inverse, product, milestones=[5, 13, 20, 28])
    yield one("SequentialLR", one("ChainedScheduler", constant, exponential), one_cycle, milestones=[8])
    yield one("SequentialLR", one("SequentialLR", linear, step, milestones=[4]), polynomial, milestones=[15])
    yield one("SequentialLR", restarts, cosine, milestones=[6])
    yield one("ChainedScheduler", constant, exponential)
    yield one("ChainedScheduler", linear, multi, product)
    yield one("ChainedScheduler", one("SequentialLR", linear, cosine, milestones=[7]), one("ChainedScheduler", exponential))
    for epochs in (10, 1, 0):
        for strategy in ("cos", "linear"):
            yield one("SWALR", swa_lr=[0.05, 0.01], anneal_epochs=epochs, anneal_strategy=strategy)


def plateaus():
    draw = random.Random(7)
    metrics = [round(1 / (1 + 0.2 * step) + draw.uniform(0, 0.3), 4) for step in range(STEPS)]
    yield one("ReduceLROnPlateau", patience=2, cooldown=1, factor=0.3), metrics
    yield one("ReduceLROnPlateau", mode="max", patience=1, threshold=0.01, threshold_mode="abs", min_lr=[0.01, 0.001]), metrics
    yield one("ReduceLROnPlateau", patience=0, threshold=0.1, min_lr=0.002, eps=1e-3), metrics


def refusals():
    step = one("StepLR", step_size=4)
    for spec in (
        one("LambdaLR", lr_lambda=["ramp"]), one("MultiplicativeLR", lr_lambda=["ramp"] * 3),
        one("SequentialLR", step, milestones=[3]), one("SequentialLR", step, step, milestones=[]),
        one("SequentialLR", step, one("ReduceLROnPlateau"), milestones=[3]),
        one("ChainedScheduler", step, one("ReduceLROnPlateau")),
        one("SWALR", swa_lr=0.1, anneal_strategy="x"), one("SWALR", swa_lr=0.1, anneal_epochs=-1),
        one("SWALR", swa_lr=[0.1]), one("ConstantLR", factor=1.5), one("OneCycleLR", max_lr=1.0, total_steps=10, div_factor=0),
        one("OneCycleLR", max_lr=1.0, total_steps=10, final_div_factor=0), one("OneCycleLR", max_lr=1.0, total_steps=10, pct_start=0.1),
        one("OneCycleLR", max_lr=1.0, total_steps=2, pct_start=0.5),
    ):
        optimizer = torch.optim.RMSprop(groups_of([0.1, 0.02]), momentum=0.9)
        try:
            made(optimizer, spec)
        except Exception as error:
            yield {"spec": spec, "error": type(error).__name__, "message": str(error)}
        else:
            raise AssertionError(spec)


def main():
    warnings.simplefilter("ignore")
    cases = [case(spec) for spec in specs()] + [case(spec, metrics=metrics) for spec, metrics in plateaus()]
    lines = [",\n".join(json.dumps(item, separators=(",", ":")) for item in items) for items in (cases, list(refusals()))]
    head = f'{{"made_by":"generate_torch_schedulers.py, torch {torch.__version__.split("+")[0]}","middle":{MIDDLE},"cases":[\n'
    path = pathlib.Path(__file__).with_name("torch_schedulers.json")
    path.write_text(f'{head}{lines[0]}\n],"errors":[\n{lines[1]}\n]}}\n')


main()
