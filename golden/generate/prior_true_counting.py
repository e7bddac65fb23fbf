"""log P(f), step and probit, of common functions by counting, in plain numpy.

numpy==2.4.6. Run from the repository's root: python golden/generate/prior_true_counting.py [SECONDS]

The share of draws of g ~ N(0, K), or N(0, K + I), whose signs are the labels, with its binomial standard error. Functions not
met HITS times in the first DRAWS draws are too rare to be counted and left out.
"""
import json
import sys
import time

import numpy as np
from prior_cases import ROOT, cases

BATCH = 10000
DRAWS = 20 * BATCH
HITS = 200


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    records = []
    for number, (name, gram, labels) in enumerate(cases()):
        for link, unit in [("step", 0.0), ("probit", 1.0)]:
            factor = np.linalg.cholesky(gram + unit * np.eye(len(gram)))
            random = np.random.Generator(np.random.PCG64([2000 + number, int(unit)]))
            started, hits, draws = time.time(), 0, 0
            while draws < DRAWS or (hits >= HITS and time.time() - started < seconds):
                values = factor @ random.standard_normal((len(factor), BATCH))
                hits += int(np.sum(np.all(values * labels[:, None] > 0, axis=0)))
                draws += BATCH
                if draws == DRAWS // 10 and hits == 0:
                    break
            if hits < HITS:
                continue
            error = np.sqrt((1 - hits / draws) / hits)
            value = np.log(hits / draws)
            records.append(
                {"case": name, "link": link, "value": float(value), "std_error": float(error), "hits": hits, "draws": draws}
            )
            print(records[-1], flush=True)
    document = {"program": f"numpy {np.__version__}; golden/generate/prior_true_counting.py", "records": records}
    (ROOT / "sources" / "true_counting.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
