"""Reads and writes with Python's own safetensors, for safetensors.test.js.

Standard input: a JSON list of files in base64. Standard output: a JSON list with, for each, null if safetensors refuses
it, else its metadata, its tensors (name, dtype, shape, base64 of the data, in the order of the file) and, in base64,
the file that safetensors writes of them.
"""
import base64
import json
import sys
import tempfile

import numpy
import safetensors

NAMES = {  # of a dtype in a file, as the writer wants it
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip


def read_metadata(data):
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(data)
        file.flush()
        with safetensors.safe_open(file.name, framework="numpy") as opened:
            return opened.metadata()


def write(tensors, metadata):
    arrays = {name: numpy.frombuffer(bytes(tensor["data"]), numpy.uint8) for name, tensor in tensors}
    specs = {
        name: safetensors.TensorSpec(
            dtype=NAMES[tensor["dtype"]],
            shape=tensor["shape"],
            data_ptr=arrays[name].ctypes.data,
            data_len=arrays[name].nbytes,
        )
        for name, tensor in tensors
    }
    return bytes(safetensors.serialize(specs, metadata))


def answer(data):
    try:
        tensors = safetensors.deserialize(data)
        metadata = read_metadata(data)
    except safetensors.SafetensorError:
        return None
    return {
        "metadata": metadata,
        "tensors": [[name, t["dtype"], t["shape"], encode(t["data"])] for name, t in tensors],
        "written": encode(write(tensors, metadata)),
    }


def encode(data):
    return base64.b64encode(bytes(data)).decode()


json.dump([answer(base64.b64decode(file)) for file in json.load(sys.stdin)], sys.stdout)
