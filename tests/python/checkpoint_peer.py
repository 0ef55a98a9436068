"""Takes a checkpoint of RMSprop(momentum) one step further in NumPy, for checkpoint.test.js.

Arguments: the file to read, the file to write. Every variable w has the tensors w, w/velocity and w/momentum; its
gradient is w itself. The rule is Keras 3's, in float32; the hyperparameters are those of the config in the file.
"""
import json
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

f32 = np.float32
with safe_open(sys.argv[1], framework="numpy") as file:
    metadata = file.metadata()
    tensors = {name: file.get_tensor(name) for name in file.keys()}

config, counters = json.loads(metadata["config"]), json.loads(metadata["counters"])
rate, rho, epsilon, momentum = (f32(config[key]) for key in ("learning_rate", "rho", "epsilon", "momentum"))
assert rate == f32(counters["learning_rate"])
for name in [name for name in tensors if "/" not in name]:
    gradient = tensors[name].copy()
    velocity = rho * tensors[f"{name}/velocity"] + f32(1 - config["rho"]) * (gradient * gradient)
    step = momentum * tensors[f"{name}/momentum"] + (rate * gradient) / np.sqrt(velocity + epsilon)
    tensors[name] = tensors[name] - step
    tensors[f"{name}/velocity"], tensors[f"{name}/momentum"] = velocity, step
counters["iteration"] += 1
save_file(tensors, sys.argv[2], {**metadata, "counters": json.dumps(counters)})
