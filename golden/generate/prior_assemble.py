"""Puts what the independent programs said into golden/prior/prior.json, the file the tests read.

Python 3 alone. Run from the repository's root, after the other prior_*.py: python golden/generate/prior_assemble.py

A value is certified only if two programs that share no code agree: fixed points of expectation propagation to
AGREE_EP, estimates of the true value within AGREE_SIGMAS combined standard errors, closed forms by the two quadratures inside
their script. Where one program alone has an honest answer the value is given, and not certified. The certified true value is
the mean of the programs' values, weighted by their inverse variances.
"""
import itertools
import json
import math
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1] / "prior"
AGREE_EP = 2e-7
AGREE_SIGMAS = 4

CASES = {
    "mnist_true_20_1": "MNIST images, label >= 5; dense ReLU network of depth 2, weight variance 2, bias variance 1",
    "mnist_true_60_1": "as mnist_true_20_1",
    "mnist_true_150_1": "as mnist_true_20_1",
    "mnist_true_400_1": "as mnist_true_20_1",
    "mnist_random_100_1": "as mnist_true_20_1, but random labels",
    "mnist_const_100_1": "as mnist_true_20_1, but all labels equal",
    "mnist_deep_100_1": "as mnist_true_20_1, but depth 5 and bias variance 0.1",
}
# The first n images of fixtures/digits.npz under the network of prior_cases.py.
DIGITS = {
    "constant": "all labels +1",
    "zero": "+1 for the digit 0",
    "large": "+1 for digits of at least 5",
    "random": "pseudorandom labels (prior_cases.py)",
}


def source(name):
    return json.loads((ROOT / "sources" / f"{name}.json").read_text())


def trustworthy(record):
    """Runs that scatter by more than a quarter of their mean are skewed: most lie low, a few carry the average."""
    return record["std_error"] * record.get("runs", 0) ** 0.5 <= 0.25


def combined(records):
    """The mean weighted by inverse variances, with its standard error."""
    weights = [record["std_error"] ** -2 for record in records]
    value = sum(w * record["value"] for w, record in zip(weights, records)) / sum(weights)
    return {"value": value, "std_error": sum(weights) ** -0.5}


def true_values(name):
    """The true value under each link, from all programs that have it."""
    for link in ["step", "probit"]:
        by = [
            {"program": document["program"], **combined(records)}
            for document in ESTIMATES
            if (
                records := [
                    record
                    for record in document["records"]
                    if (record["case"], record["link"]) == (name, link) and trustworthy(record)
                ]
            )
        ]
        if len(by) < 2:
            # Not certified: shown in tables with a mark, held against nobody.
            yield {"quantity": "true by one program", "link": link, **{k: by[0][k] for k in ("value", "std_error")}, "by": by}
            continue
        apart = 0.0
        for a, b in itertools.combinations(by, 2):
            apart = max(apart, abs(a["value"] - b["value"]) / math.hypot(a["std_error"], b["std_error"]))
        assert apart <= AGREE_SIGMAS, (name, link, apart, by)
        yield {
            "quantity": "true",
            "link": link,
            **combined(by),
            "largest_z": apart,
            "by": by,
        }


ESTIMATES = [source(name) for name in ["true_guided", "true_tilted", "true_counting", "true_tilting", "true_gpu"]]
gpy, plain = source("ep_gpy"), source("ep_numpy")
by_key = {(r["case"], r["link"]): r["value"] for r in gpy["records"]}
cases = []


def main():
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
        case["values"].extend(true_values(name))
        cases.append(case)

    digits = []
    for function, what in DIGITS.items():
        for n in [20, 100, 300, 1000]:
            name = f"digits_{function}_{n}"
            digits.append({"name": name, "what": what, "function": function, "n": n, "values": list(true_values(name))})

    closed = source("closed_form_mpmath")
    document = {
        "units": "nats",
        "cases": cases,
        "digits": digits,
        "closed_forms": {"program": closed["program"], "records": closed["records"]},
    }
    (ROOT / "prior.json").write_text(json.dumps(document, indent=1) + "\n")
    print("wrote", ROOT / "prior.json")


if __name__ == "__main__":
    main()
