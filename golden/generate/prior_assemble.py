"""Puts what the independent programs said into golden/prior/prior.json, the file the tests read.

Python 3 alone. Run from the repository's root, after the other prior_*.py: python golden/generate/prior_assemble.py

A value is certified only if two programs that share no code agree: fixed points of expectation propagation to
AGREE_EP, closed forms by the two quadratures inside their script.
"""
import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1] / "prior"
AGREE_EP = 2e-7

CASES = {
    "mnist_true_20_1": "MNIST images, label >= 5; dense ReLU network of depth 2, weight variance 2, bias variance 1",
    "mnist_true_60_1": "as mnist_true_20_1",
    "mnist_true_150_1": "as mnist_true_20_1",
    "mnist_true_400_1": "as mnist_true_20_1",
    "mnist_random_100_1": "as mnist_true_20_1, but random labels",
    "mnist_const_100_1": "as mnist_true_20_1, but all labels equal",
    "mnist_deep_100_1": "as mnist_true_20_1, but depth 5 and bias variance 0.1",
}


def source(name):
    return json.loads((ROOT / "sources" / f"{name}.json").read_text())


gpy, plain = source("ep_gpy"), source("ep_numpy")
by_key = {(r["case"], r["link"]): r["value"] for r in gpy["records"]}
cases = []
for name, what in CASES.items():
    case = {"name": name, "what": what, "gram": f"{name}.gram.npy", "labels": f"{name}.labels.npy", "values": []}
    for record in plain["records"]:
        if record["case"] != name:
            continue
        other = by_key[name, record["link"]]
        assert abs(record["value"] - other) < AGREE_EP, (record, other)
        case["values"].append(
            {
                "quantity": "ep",
                "link": record["link"],
                "value": record["value"],
                "std_error": None,
                "agreed_to": abs(record["value"] - other),
                "by": [{"program": plain["program"], "value": record["value"]}, {"program": gpy["program"], "value": other}],
            }
        )
    cases.append(case)

closed = source("closed_form_mpmath")
document = {
    "units": "nats",
    "cases": cases,
    "closed_forms": {"program": closed["program"], "records": closed["records"]},
}
(ROOT / "prior.json").write_text(json.dumps(document, indent=1) + "\n")
print("wrote", ROOT / "prior.json")
