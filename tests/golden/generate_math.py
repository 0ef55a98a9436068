"""Writes math.json: exp, log, pow and cos, correctly rounded, at the arguments that schedules have.

    pip install mpmath==1.3.0 && python tests/golden/generate_math.py

A row is the function, its arguments and the result, each the 16 hexadecimal digits of a float64. The arguments are computed
as schedules compute theirs: rounded products and quotients of steps, periods, rates and π.
"""

import json
import math
import pathlib
import random
import struct

import mpmath

mpmath.mp.prec = 400


def bits(value):
    return struct.pack(">d", value).hex()


def row(name, *arguments):
    function = {"exp": mpmath.exp, "log": mpmath.log, "pow": mpmath.power, "cos": mpmath.cos}[name]
    return [name, *map(bits, arguments), bits(float(function(*map(mpmath.mpf, arguments))))]


def rows():
    draw = random.Random(20260301)
    for period in (3, 7, 10, 30, 100, 365, 1000, 90_000):
        for _ in range(25):
            step = draw.randint(0, 2 * period)
            yield row("cos", math.pi * step / period)
    for _ in range(50):
        yield row("cos", math.pi * (draw.randint(2**20, 2**44) / draw.randint(1, 16)))
    for _ in range(25):
        yield row("cos", math.pi * (draw.randint(0, 2**20) + 0.5))
    for gamma in (0.1, 0.3, 0.5, 0.9, 0.93, 0.95, 0.96, 0.97, 0.99, 0.999, 0.9999, 1.1):
        for _ in range(15):
            yield row("pow", gamma, float(draw.randint(1, 300)))
        for _ in range(15):
            yield row("pow", gamma, draw.randint(1, 30_000) / draw.randint(1, 3000))
    for power in (0.5, 0.9, 1.5, 2.0, 3.0):
        for _ in range(40):
            period = draw.randint(10, 5000)
            step = draw.randint(1, period - 1)
            yield row("pow", 1 - step / period, power)
            yield row("pow", (1 - step / period) / (1 - (step - 1) / period), power)
    for _ in range(60):
        yield row("exp", -draw.randint(0, 30_000) / draw.randint(1000, 9000))
        yield row("log", draw.randint(2, 10**6) / draw.randint(1, 1000))
        yield row("log", 1 + draw.randint(1, 1000) / 2.0**draw.randint(10, 52))


def main():
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in rows())
    head = f'{{"made_by":"generate_math.py, mpmath {mpmath.__version__}, {mpmath.mp.prec} bits","rows":[\n'
    pathlib.Path(__file__).with_name("math.json").write_text(f"{head}{lines}\n]}}\n")


main()
