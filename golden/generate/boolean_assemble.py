"""golden/boolean/boolean.json: the head of a large table with intervals, beside the counts of an independent program.

    flatgauge sample --arch fcn:7-40-40-1 --weight-std 1 --bias-std 0 --inputs boolean:7 --count 1e8 --seed 1 --top 1000 --out counts.tsv
    python boolean_torch.py counts.tsv 1e6 1 > torch.json
    python boolean_assemble.py counts.tsv torch.json > ../boolean/boolean.json

The intervals are Clopper and Pearson's, by scipy; where functions were dropped from the table, an interval's upper end allows
for as many networks as a count may be short by.
"""

import json
import sys

import scipy
from scipy.stats import beta

FUNCTIONS = 200
CONFIDENCE = 0.999


def main():
    header, rows = {}, []
    with open(sys.argv[1]) as lines:
        for line in lines:
            if line.startswith("# "):
                key, _, value = line[2:].rstrip("\n").partition(": ")
                header[key] = value
            else:
                function, count = line.split("\t")
                rows.append((function, int(count)))
    with open(sys.argv[2]) as file:
        independent = json.load(file)
    networks, undercount = int(header["total"]), int(header["counts short by at most"])
    tail = (1 - CONFIDENCE) / 2
    program = next(key for key in header if key.startswith("flatgauge"))
    records = []
    counts = {record["function"]: record["count"] for record in independent["counts"]}
    for function, count in rows[:FUNCTIONS]:
        lower = beta.ppf(tail, count, networks - count + 1)
        upper = beta.ppf(1 - tail, count + undercount + 1, networks - count - undercount)
        records.append({
            "function": function,
            "count": count,
            "interval": [float(lower), float(upper)],
            "independent_count": counts[function],
        })
    document = {
        "what": "How many networks drawn from the prior express each function: character i is the label of input i in binary counting order",
        "made_by": f"{program}; intervals by scipy {scipy.__version__}; golden/generate/boolean_assemble.py",
        "architecture": json.loads(header["architecture"]),
        "seed": int(header["seed"]),
        "networks": networks,
        "undercount": undercount,
        "confidence": CONFIDENCE,
        "independent": {key: independent[key] for key in ("made_by", "networks", "seed")},
        "functions": records,
    }
    print(json.dumps(document, indent=1))


main()
