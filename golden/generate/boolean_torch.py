"""Counts of given functions among networks FCN 7-40-40-1 (ReLU, weight_std 1, bias_std 0), by PyTorch in float64.

    python boolean_torch.py TABLE NETWORKS SEED > ../boolean/torch.json

TABLE is the output of `flatgauge sample`; of it the functions alone are read. Character i of a function is the label
of input i in binary counting order; label 1 where the logit is above 0.
"""

import json
import sys

import torch


def main():
    table, networks, seed = sys.argv[1], int(float(sys.argv[2])), int(sys.argv[3])
    with open(table) as lines:
        functions = [line.split("\t")[0] for line in lines if not line.startswith("#")]
    torch.manual_seed(seed)
    digits = torch.arange(128)[:, None] >> torch.arange(6, -1, -1) & 1
    inputs = digits.to(torch.float64)
    # Bits as exact sums of powers of two in two int64 words, the sign bit left out of each by four words of 32.
    powers = 2 ** torch.arange(31, -1, -1)
    def pack(labels):
        return (labels.reshape(-1, 4, 32) * powers).sum(-1)
    wanted = pack(torch.tensor([[int(bit) for bit in function] for function in functions]))
    index = {tuple(words): number for number, words in enumerate(wanted.tolist())}
    counts = [0] * len(functions)
    batch, done = 2048, 0
    while done < networks:
        size = min(batch, networks - done)
        def normal(*shape):
            return torch.randn(size, *shape, dtype=torch.float64) / shape[0] ** 0.5
        hidden = torch.relu(inputs @ normal(7, 40))
        hidden = torch.relu(hidden @ normal(40, 40))
        labels = ((hidden @ normal(40, 1))[..., 0] > 0).to(torch.int64)
        for words in map(tuple, pack(labels).tolist()):
            number = index.get(words)
            if number is not None:
                counts[number] += 1
        done += size
    print(json.dumps({
        "made_by": f"PyTorch {torch.__version__}, float64; golden/generate/boolean_torch.py",
        "networks": networks,
        "seed": seed,
        "counts": [{"function": function, "count": count} for function, count in zip(functions, counts)],
    }, indent=1))


if __name__ == "__main__":
    main()
