"""Python twins of animals of the faulty zoo, for `flatgauge check`; the standard library is all they need.

    python3 twins.py NAME faulty|sound
"""
import json
import math
import struct
import sys
import zipfile


def npy(raw):
    """Shape and values of a .npy file of little-endian f64 in C order."""
    (length,) = struct.unpack("<H", raw[8:10]) if raw[6] == 1 else struct.unpack("<I", raw[8:12])
    start = (10 if raw[6] == 1 else 12) + length
    header = eval(raw[start - length : start].decode(), {"__builtins__": {}})  # a literal of the format
    assert header["descr"] == "<f8" and not header["fortran_order"], header
    count = math.prod(header["shape"])
    return header["shape"], struct.unpack(f"<{count}d", raw[start : start + 8 * count])


def rows(shape, values):
    width = math.prod(shape[1:])
    return [list(values[i * width : (i + 1) * width]) for i in range(shape[0])]


def read_tensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, content = json.loads(file.read(length)), file.read()
    tensors = {}
    for name, tensor in header.items():
        if name != "__metadata__":
            assert tensor["dtype"] == "F64"
            first, last = tensor["data_offsets"]
            values = struct.unpack(f"<{(last - first) // 8}d", content[first:last])
            tensors[name] = rows(tensor["shape"], values) if len(tensor["shape"]) == 2 else list(values)
    return tensors


def unit(weight):
    """A matrix divided by its Euclidean length."""
    length = math.sqrt(sum(w * w for row in weight for w in row))
    return [[w / length for w in row] for row in weight]


def trace_of_sample(weights, biases, x):
    """p (1 - p) |d logit / d theta|^2: the sample's share of tr H, for a piecewise linear network has tr H = tr G."""
    inputs, masks = [x], []
    for layer, (weight, bias) in enumerate(zip(weights, biases)):
        x = [sum(w * v for w, v in zip(row, x)) + b for row, b in zip(weight, bias)]
        if layer + 1 < len(weights):
            masks.append([v > 0.0 for v in x])
            x = [max(v, 0.0) for v in x]
            inputs.append(x)
    odds = math.exp(-abs(x[0]))  # p (1 - p) = odds / (1 + odds)^2, which keeps its digits where p rounds to 1
    norm, delta = 0.0, [1.0]
    for layer in reversed(range(len(weights))):
        norm += sum(d * d for d in delta) * (1.0 + sum(v * v for v in inputs[layer]))
        if layer:
            columns = zip(*weights[layer])
            back = [sum(d * w for d, w in zip(delta, column)) for column in columns]
            delta = [b if mask else 0.0 for b, mask in zip(back, masks[layer - 1])]
    return odds / (1.0 + odds) ** 2 * norm


def trace(request, name, faulty):
    kinds = [layer["type"] for layer in request["architecture"]["layers"]]
    if request["loss"] != "bce" or set(kinds) - {"dense", "relu"}:
        return {"skip": "only dense ReLU networks with bce"}
    tensors = read_tensors(request["net"])
    layers = range(kinds.count("dense"))
    weights = [tensors[f"{layer}.weight"] for layer in layers]
    if name == "trace_remembered_from_before" and faulty:
        weights = [unit(weight) for weight in weights]
    biases = [tensors[f"{layer}.bias"] for layer in layers]
    with zipfile.ZipFile(request["data"]) as archive:
        inputs = rows(*npy(archive.read("x.npy")))
    traces = [trace_of_sample(weights, biases, x) for x in inputs]
    if name == "trace_mean_of_unequal_batches" and faulty:
        batches = [traces[i : i + 5] for i in range(0, len(traces), 5)]
        return {"value": sum(sum(batch) / len(batch) for batch in batches) / len(batches)}
    if name == "trace_of_the_summed_loss" and faulty:
        return {"value": sum(traces)}
    return {"value": sum(traces) / len(traces)}


def equicorrelated(n, rho):
    """log P of n points of one correlation: the trapezoid rule over the common factor."""
    slope, step = math.sqrt(rho / (1.0 - rho)), 1.0 / 256.0
    total = 0.0
    for i in range(-12 * 256, 12 * 256 + 1):
        t = i * step
        total += math.exp(-0.5 * t * t) * (0.5 * math.erfc(-slope * t / math.sqrt(2.0))) ** n
    return math.log(total * step / math.sqrt(2.0 * math.pi))


def block(correlation, points):
    """P of up to three points."""
    rho = [math.asin(max(-1.0, min(1.0, correlation[i][j]))) for i in points for j in points if i < j]
    n = len(points)
    return 0.5**n + {1: 0.0, 2: 1.0 / (2.0 * math.pi), 3: 1.0 / (4.0 * math.pi)}[n] * sum(rho)


def log_prob(request, name, faulty):
    with open(request["gram"], "rb") as file:
        gram = rows(*npy(file.read()))
    with open(request["labels"], "rb") as file:
        labels = npy(file.read())[1]
    n = len(labels)
    if request["link"] == "probit" or (name == "probit_read_as_step" and faulty):
        gram = [[k + (i == j) for j, k in enumerate(row)] for i, row in enumerate(gram)]
    signed = [
        [gram[i][j] / math.sqrt(gram[i][i] * gram[j][j]) * labels[i] * labels[j] for j in range(n)] for i in range(n)
    ]
    kept = []
    for i in range(n):
        same = [signed[i][j] for j in kept if abs(signed[i][j]) > 1.0 - 1e-14]
        if any(s < 0.0 for s in same):
            return {"value": "-inf"}
        if not same:
            kept.append(i)
    off = [signed[i][j] for i in kept for j in kept if i < j]
    if len(kept) > 3 and off[0] > 0.0 and max(off) - min(off) < 1e-14:
        value = equicorrelated(len(kept), off[0])
    else:
        # Points that are correlated, however far around, make a block.
        blocks = []
        for i in kept:
            joined = [b for b in blocks if any(signed[i][j] != 0.0 for j in b)]
            blocks = [b for b in blocks if b not in joined] + [sum(joined, []) + [i]]
        if max(map(len, blocks)) > 3:
            return {"skip": "closed forms end at three points"}
        shares = [block(signed, b) for b in blocks]
        # What is left of a share of zero is rounding.
        value = sum(math.log(share) for share in shares) if min(shares) > 1e-15 else -math.inf
    if value == -math.inf:
        return {"value": "-inf"}
    return {"value": value / math.log(2.0) if name == "bits_for_nats" and faulty else value}


name, faulty = sys.argv[1], sys.argv[2] == "faulty"
for line in sys.stdin:
    request = json.loads(line)
    answer = (trace if request["kind"] == "flatness" else log_prob)(request, name, faulty)
    print(json.dumps({"id": request["id"], **answer}), flush=True)
