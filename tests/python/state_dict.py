"""PyTorch's side of `save` and `load` of rmsprop-wasm/torch: state dicts, and whatever holds them, as safetensors files.

    save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "run.safetensors")
    saved = load("run.safetensors")
    optimizer.load_state_dict(saved["optimizer"])

Tensors are named by where they are, `optimizer.state.0.square_avg`; the rest stands in the metadata as JSON. Keys that
are integers, as in `state`, come back as integers; what is not a tensor must be a number, text, bool, None, list or dict.
"""
import json
import math

import torch
from safetensors import safe_open
from safetensors.torch import save_file


def save(tree, path):
    tensors = {}
    header = json.dumps(_encode(tree, [], tensors))
    save_file(tensors, path, {"format": "rmsprop-wasm", "format_version": "1", "dialect": "torch", "tree": header})


def _encode(node, path, tensors):
    if isinstance(node, torch.Tensor):
        if path[-1] == "step" and node.ndim == 0:
            return int(node)
        tensors[".".join(path)] = node.detach().contiguous()
        return {"$tensor": ".".join(path)}
    if isinstance(node, float) and (not math.isfinite(node) or (node == 0 and math.copysign(1, node) < 0)):
        return {"$number": {math.inf: "Infinity", -math.inf: "-Infinity", 0.0: "-0"}.get(node, "NaN")}
    if isinstance(node, dict):
        return {str(key): _encode(value, [*path, str(key)], tensors) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_encode(value, [*path, str(i)], tensors) for i, value in enumerate(node)]
    return node


def load(path):
    with safe_open(path, "pt") as file:
        return _decode(json.loads(file.metadata()["tree"]), file)


def _decode(node, file):
    if isinstance(node, list):
        return [_decode(value, file) for value in node]
    if not isinstance(node, dict):
        return node
    if node.keys() == {"$tensor"}:
        return file.get_tensor(node["$tensor"])
    if node.keys() == {"$number"}:
        return float(node["$number"].replace("Infinity", "inf"))
    return {int(key) if key.isdigit() else key: _decode(value, file) for key, value in node.items()}
