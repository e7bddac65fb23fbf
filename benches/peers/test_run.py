"""The comparator, the fit and the tables, on made-up answers: `python -m unittest discover benches/peers`."""

import math
import tempfile
import unittest
from pathlib import Path

import tables
from rows import ROWS, Agreement
from run import compare, fitted, taken


def side(answer, **info):
    return {"answer": answer, "info": info}


class Comparator(unittest.TestCase):
    def agrees(self, how, bound, ours, peer):
        return compare(Agreement(how, bound), ours, peer)[1]

    def test_planted_errors_are_seen(self):
        right = [1.0, -2.0, 3.0]
        for wrong in (
            [2.0, -4.0, 6.0],
            [-1.0, 2.0, -3.0],
            [3.0, -2.0, 1.0],
            [1.01, -2.0, 3.0],
            [1.0, math.nan, 3.0],
            right[:2],
        ):
            for how, bound in (("relative", 1e-3), ("absolute", 1e-3)):
                self.assertTrue(self.agrees(how, bound, side(right), side(right)))
                self.assertFalse(self.agrees(how, bound, side(wrong), side(right)), (how, wrong))
                self.assertFalse(self.agrees(how, bound, side(right), side(wrong)), (how, wrong))

    def test_errors_are_counted_in_standard_errors(self):
        near, far = side([1.05], std_error=0.02), side([1.2], std_error=0.02)
        self.assertTrue(self.agrees("errors", 6.5, near, side([1.0], std_error=0.01)))
        self.assertFalse(self.agrees("errors", 6.5, far, side([1.0], std_error=0.01)))
        # Two numbers without any standard error cannot be compared like this.
        self.assertFalse(self.agrees("errors", 6.5, side([1.0]), side([1.0])))

    def test_shares_have_the_error_of_their_counts(self):
        self.assertTrue(self.agrees("shares", 6.5, side([0.0622], networks=1 << 18), side([0.0630], networks=1 << 18)))
        self.assertFalse(self.agrees("shares", 6.5, side([0.0622], networks=1 << 18), side([0.0670], networks=1 << 18)))


class Tables(unittest.TestCase):
    machine = {"cpu": "a processor", "features": ["avx2"], "threads": 2, "system": "Linux"}

    def result(self, **more):
        ours = {"median": 2e-3, "seconds": [2e-3], "info": {}, "peak_bytes": 10 << 20}
        return {"date": "2026-11-28", "machine": self.machine, "notes": [], "ours": ours, **more}

    def test_a_peer_that_fails_is_a_row(self):
        results = {"hvp": self.result(peer={"name": "PyTorch", "failed": "failed: no such module"})}
        self.assertIn("failed: no such module", tables.times(results))

    def test_errors_are_those_of_the_more_precise_row(self):
        both = {"ours": {**self.result()["ours"], "answer": [16.99]}, "peer": {"name": "PyHessian", "answer": [17.2]}}
        results = {"eigenvalue": self.result(**both)}
        self.assertNotIn("relative errors", tables.times(results))
        results["eigenvalue-precise"] = self.result(ours={**self.result()["ours"], "answer": [17.0]})
        self.assertIn("relative errors: peer 0.01, ours 0.0006", tables.times(results))

    def test_ratios_and_wishes(self):
        peer = {"name": "PyTorch", "program": "PyTorch 2", "median": 5e-3, "peak_bytes": 300 << 20}
        text = tables.times({"hvp": self.result(peer=peer, floor={"what": "products", "seconds": 1.5e-3})})
        for part in ("5.00 ms | 2.00 ms | 2.5x", "3x (missed)", "1.5 floors (reached)", "1.50 ms: products", "300 / 10"):
            self.assertIn(part, text)

    def test_the_readme_keeps_what_is_outside_the_marks(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "README.md"
            page.write_text("before\n<!-- peers:begin -->\nold\n<!-- peers:end -->\nafter\n")
            tables.splice(page, "times", "new")
            self.assertEqual(page.read_text(), "before\n<!-- peers:begin -->\nnew\n<!-- peers:end -->\nafter\n")

    def test_three_digits(self):
        self.assertEqual(
            [tables.time(x) for x in (1.2345, 0.0101, 2.34e-4, 100.0)], ["1.23 s", "10.1 ms", "0.234 ms", "100 s"]
        )

    def test_an_exponent_is_the_slope(self):
        self.assertAlmostEqual(fitted([(n, 3e-9 * n**2.5) for n in (100, 200, 400)]), 2.5)

    def test_rates_do_not_depend_on_how_many_were_drawn(self):
        row = next(row for row in ROWS if row.unit == "networks/s")
        seconds = {taken(row, {"seconds": 1e-5 * networks, "info": {"networks": networks}}) for networks in (1 << 16, 1 << 18)}
        self.assertEqual([round(second, 9) for second in seconds], [round(1e-5 * row.size, 9)] * len(seconds))

    def test_rows(self):
        self.assertEqual(len({row.name for row in ROWS}), len(ROWS))
        for row in ROWS:
            self.assertEqual(row.peer is None, row.agreement is None, row.name)
            self.assertTrue(not row.growth.sizes or len(row.growth.sizes) >= 3, row.name)


if __name__ == "__main__":
    unittest.main()
