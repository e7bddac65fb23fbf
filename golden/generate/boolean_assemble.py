"""golden/boolean/boolean.json: counts of an independent program with intervals, beside two other programs' counts.

    flatgauge sample --arch fcn:7-40-40-1 --weight-std 1 --bias-std 0 --inputs boolean:7 --count 1e8 --seed 1 --top 1000 \
        --out counts.tsv
    python boolean_torch.py counts.tsv 1e6 1 > torch.json
    python boolean_assemble.py gpu.json counts.tsv torch.json > ../boolean/boolean.json

gpu.json holds the counts of 942,880,000 networks that a PyTorch program drew on a GPU: float32, and every network with a logit
within 2e-6 of zero evaluated again in float64. It shares no code with this crate and is what the table certifies; its drawing
took a GPU and is not repeated here. The two others are compared with it by chi-square (tests/sample_certified.rs). The
intervals are Clopper and Pearson's, by quadrature in 30 digits (mpmath==1.3.0; scipy==1.17.1 for the starting points, whose
quantiles are good to ten digits at such counts).
"""

import json
import sys

import mpmath
from mpmath import exp, linspace, log, loggamma, mp, mpf, quad, sqrt
from scipy.stats import beta

CONFIDENCE = 0.999
mp.dps = 30


def lower_end(tail, hits, misses, start):
    """x with P(Beta(hits, misses + 1) < x) = tail, by Newton's method on a quadrature of the density."""
    a, b, x = mpf(hits), mpf(misses + 1), mpf(start)
    log_beta = loggamma(a) + loggamma(b) - loggamma(a + b)
    deviation = sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
    def density(t):
        return exp((a - 1) * log(t) + (b - 1) * log(1 - t) - log_beta)
    for _ in range(6):
        below = quad(density, linspace(max(mpf(0), x - 14 * deviation), x, 8))
        step = (below - tail) / density(x)
        x -= step
        if abs(step) < mpf(10) ** -22 * x:
            return x
    raise ArithmeticError((hits, misses, x))


def table(path):
    """Header and counts of a table of `flatgauge sample`."""
    header, counts = {}, {}
    with open(path) as lines:
        for line in lines:
            if line.startswith("# "):
                key, _, value = line[2:].rstrip("\n").partition(": ")
                header[key] = value
            else:
                function, count = line.split("\t")
                counts[function] = int(count)
    return header, counts


def main():
    with open(sys.argv[1]) as file:
        certified = json.load(file)
    header, own = table(sys.argv[2])
    with open(sys.argv[3]) as file:
        second = json.load(file)
    second_counts = {record["function"]: record["count"] for record in second["counts"]}
    networks = certified["networks"]
    tail = (1 - CONFIDENCE) / 2  # in float64, as the crate takes it
    records = []
    for record in certified["functions"]:
        function, count = record["function"], record["count"]
        misses = networks - count
        lower = lower_end(mpf(tail), count, misses, beta.ppf(tail, count, misses + 1))
        upper = 1 - lower_end(mpf(tail), misses, count, beta.ppf(tail, misses, count + 1))
        records.append({
            "function": function,
            "count": count,
            "interval": [float(lower), float(upper)],
            "second_count": second_counts[function],
            "flatgauge_count": own[function],
        })
    document = {
        "what": "How many networks drawn from the prior express each function: "
        "character i is the label of input i in binary counting order",
        "made_by": f"{certified['made_by']}; intervals by mpmath {mpmath.__version__}; golden/generate/boolean_assemble.py",
        "architecture": json.loads(header["architecture"]),
        "seed": certified["seed"],
        "networks": networks,
        "confidence": CONFIDENCE,
        "second": {key: second[key] for key in ("made_by", "networks", "seed")},
        "flatgauge": {
            "made_by": next(key for key in header if key.startswith("flatgauge")),
            "networks": int(header["total"]),
            "seed": int(header["seed"]),
            "undercount": int(header["counts short by at most"]),
        },
        "functions": records,
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
