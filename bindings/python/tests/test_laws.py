"""Laws as pytest items: ids, selection, known failures, messages, options, Ctrl-C."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import flatgauge
from signals import takes_ctrl_c

TEN_LINES = """
import math
import flatgauge

def norm(case):
    return {factor} * math.hypot(*case.theta)

@flatgauge.parametrize_with_laws(measure="parameter_norm", estimate=norm{more})
def test_norm(law):
    law.check()
"""


def ten_lines(pytester, factor=1.0, more=""):
    return pytester.makepyfile(test_norm=TEN_LINES.format(factor=factor, more=more))


def norm(case):
    # Squares of the corpus' extreme parameters overflow: no root of their sum.
    return math.hypot(*case.theta)


@flatgauge.parametrize_with_laws(measure="parameter_norm", estimate=norm)
def test_a_right_norm(law):
    law.check()


def test_a_right_and_a_wrong_estimator(pytester):
    ten_lines(pytester)
    assert pytester.runpytest_subprocess("-k", "fcn").ret == 0
    ten_lines(pytester, 1.01)
    result = pytester.runpytest_subprocess("-k", "covariance and relu-bce-0")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*LawBroken: parameter_norm breaks curvature.covariance on fcn-4-5-4-1-relu-bce-0",
            "*law: * at theta' = D theta*",
            "*predicted: *",
            "*found: *",
            "*ratio: *1.01*",
            "*case: *fcn-4-5-4-1-relu-bce-0.toml",
            "*alone: *pytest 'test_norm.py::test_norm[[]curvature.covariance/parameter_norm/fcn-4-5-4-1-relu-bce-0]'",
        ]
    )


def test_the_line_that_runs_it_alone_does(pytester):
    ten_lines(pytester, 1.01)
    result = pytester.runpytest_subprocess("test_norm.py::test_norm[curvature.covariance/parameter_norm/fcn-4-5-3-relu-ce-0]")
    result.assert_outcomes(failed=1)


def test_the_case_file_replays_it(pytester):
    ten_lines(pytester, 1.01)
    pytester.runpytest_subprocess("-k", "covariance and fcn-4-5-3-relu-ce-0", "--flatgauge-report", "out")
    [file] = [path for path in pytester.path.glob("out/*/cases/*.toml") if not path.name.endswith(".arch.toml")]
    result = pytester.runpytest_subprocess("--flatgauge-case", str(file))
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*parameter_norm breaks curvature.covariance on fcn-4-5-3-relu-ce-0*"])
    assert (file.parents[1] / "report.json").is_file()


def test_known_failures_are_strict(pytester):
    ten_lines(pytester, 1.01, ', known={"curvature.covariance/*": "https://example.org/1"}')
    result = pytester.runpytest_subprocess("-k", "covariance and fcn-4-5-3-relu-ce-0", "-rx")
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["XFAIL*https://example.org/1*"])
    ten_lines(pytester, 1.0, ', known={"curvature.covariance/*": "https://example.org/1"}')
    result = pytester.runpytest_subprocess("-k", "covariance and fcn-4-5-3-relu-ce-0")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*is known to fail (https://example.org/1), and nothing of it fails any more: it is healed*"])
    # One case of a pattern holds while others fail: that heals nothing.
    pytester.makepyfile(
        test_norm="""
        import math
        import flatgauge

        def norm(case):
            return (1.01 if "erf" in str(case.architecture) else 1.0) * math.hypot(*case.theta)

        @flatgauge.parametrize_with_laws(measure="parameter_norm", estimate=norm, known={"curvature.*": "erf"})
        def test_norm(law):
            law.check()
        """
    )
    result = pytester.runpytest_subprocess("-k", "covariance or definition")
    assert result.ret == 0
    assert result.parseoutcomes()["xfailed"] > 0 and result.parseoutcomes()["passed"] > 0


def test_ids_are_stable_and_options_are_taken(pytester):
    ten_lines(pytester)
    listed = lambda *words: [line for line in pytester.runpytest_subprocess("--co", "-q", *words).outlines if "::" in line]
    quick = listed()
    assert quick == listed() and len(quick) > 20
    assert "test_norm.py::test_norm[curvature.covariance/parameter_norm/fcn-5-6-1-relu-bce-0]" in quick
    assert set(quick) < set(listed("--flatgauge-tier", "full"))
    more = listed("--flatgauge-cases", "2")
    assert len([line for line in more if "generated-1" in line]) == 2
    pytester.makeini("[pytest]\nflatgauge_cases = 2\n")
    assert listed() == more
    assert pytester.runpytest_subprocess("--flatgauge-tier", "fast").ret == pytest.ExitCode.USAGE_ERROR


def test_generated_failures_are_shrunk(pytester):
    ten_lines(pytester, 1.01)
    result = pytester.runpytest_subprocess("-k", "generated-0 and definition", "--flatgauge-cases", "2")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*case: *smallest-0.toml (fcn:1-1-1*"])


def test_an_estimator_that_skips_everything_verifies_nothing(pytester):
    pytester.makepyfile(
        """
        import flatgauge

        @flatgauge.parametrize_with_laws(measure="parameter_norm", estimate=lambda case: flatgauge.skip("not today"))
        def test_norm(law):
            law.check()
        """
    )
    result = pytester.runpytest_subprocess("-rs")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*why: *nothing verified*", "SKIPPED*not today*"])


def test_exceptions_come_as_they_are(pytester):
    pytester.makepyfile(
        """
        import flatgauge

        def mine(case):
            return deeper(case)

        def deeper(case):
            raise ZeroDivisionError("by nothing at all")

        @flatgauge.parametrize_with_laws(measure="parameter_norm", estimate=mine)
        def test_norm(law):
            law.check()
        """
    )
    result = pytester.runpytest_subprocess("-x", "-k", "covariance and fcn-4-5-3-relu-ce-0")
    result.stdout.fnmatch_lines(["*def deeper(case):", "E *ZeroDivisionError: by nothing at all"])


def test_the_plugin_imports_the_package_only_when_asked(pytester):
    pytester.makepyfile("import sys\n\ndef test_plain():\n    assert 'flatgauge' not in sys.modules\n")
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_xdist_splits_the_items(pytester):
    pytest.importorskip("xdist")
    ten_lines(pytester)
    pytester.runpytest_subprocess("-n", "2", "-k", "relu-bce-0").assert_outcomes(passed=6, skipped=2)


def test_ctrl_c_ends_it(pytester):
    path = pytester.makepyfile(
        test_slow="""
        import time
        import flatgauge

        def slow(case):
            print("asked", flush=True)
            time.sleep(60)

        @flatgauge.parametrize_with_laws(measure="parameter_norm", estimate=slow)
        def test_norm(law):
            law.check()
        """
    )
    words = [sys.executable, "-m", "pytest", "-s", str(path)]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, preexec_fn=takes_ctrl_c)
    for line in run.stdout:
        if "asked" in line:
            break
    started = time.monotonic()
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=20) == pytest.ExitCode.INTERRUPTED and time.monotonic() - started < 15


def test_methods_and_kernels_are_held_to_their_laws():
    def genz(case):
        return flatgauge.log_prob(case.gram, case.labels, "genz", case.link, seed=case.seed)

    def analytic(case):
        return flatgauge.kernel(case.architecture, case.inputs, case.kind).matrix

    right = flatgauge.check(method="mine", exactness="unbiased", links=["step"], estimate=genz, only="prior.scale")
    assert right.verdict == "pass", right
    wrong = flatgauge.check(
        method="mine", exactness="unbiased", estimate=lambda case: 2.0 * genz(case).value, only="certified.closed_form"
    )
    assert wrong.verdict == "fail"
    assert flatgauge.check(kernel="mine", estimate=analytic).verdict == "pass"
    assert flatgauge.check(kernel="mine", estimate=lambda case: 1.01 * analytic(case)).verdict == "fail"


def test_what_is_asked_wrongly_is_refused():
    with pytest.raises(TypeError, match="exactly one of measure="):
        flatgauge.check(estimate=norm)
    with pytest.raises(ValueError, match="there is no measure 'hessian_tracee', expected one of keskar_sharpness"):
        flatgauge.check(measure="hessian_tracee", estimate=norm)
    with pytest.raises(ValueError, match="say what it is by exactness="):
        flatgauge.check(method="mine", estimate=norm)
    report = flatgauge.check(measure="parameter_norm", estimate=lambda case: None, only="covariance")
    assert "raised TypeError: the estimator returned None" in report.failures[0].reason


def test_noise_is_averaged_away_before_nothing_is_verified():
    def noisy(factor):
        def estimate(case):
            exact = math.hypot(*case.theta)
            draw = np.random.default_rng(case.seed).normal()
            return flatgauge.Estimate(factor * exact * (1.0 + 1.25 * draw), 1.25 * exact)

        return estimate

    # Errors of 125% decide nothing on any one answer; those of averages do, and see what is four times too large.
    right = flatgauge.check(measure="parameter_norm", estimate=noisy(1.0))
    assert right.verdict == "pass", right
    assert flatgauge.check(measure="parameter_norm", estimate=noisy(4.0)).verdict == "fail"


def test_single_precision_is_judged_as_such():
    def norm(case):
        assert case.theta.dtype == case.inputs.dtype == case.targets.dtype
        return np.linalg.norm(case.theta.astype(np.float32))

    assert flatgauge.check(measure="parameter_norm", estimate=norm, dtype="float32").verdict == "pass"
    assert flatgauge.check(measure="parameter_norm", estimate=norm).verdict == "fail"
    wrong = flatgauge.check(measure="parameter_norm", estimate=lambda case: 1.03 * norm(case), dtype="float32")
    assert wrong.verdict == "fail"
    assert "generated" not in str(wrong) and wrong.failures[0].ratio == pytest.approx(1.03, rel=1e-5)
    with pytest.raises(ValueError, match="'float16' is no dtype of the laws, expected float64 or float32"):
        flatgauge.check(measure="parameter_norm", estimate=norm, dtype="float16")
    with pytest.raises(ValueError, match="held to float64"):
        flatgauge.check(method="ep", estimate=lambda case: 0.0, dtype="float32")


def test_declared_accuracy_is_what_is_judged():
    def near(case):
        return flatgauge.Estimate(1.005 * math.hypot(*case.theta), rel_error=0.01)

    def beyond(case):
        return flatgauge.Estimate(1.02 * math.hypot(*case.theta), rel_error=0.01)

    def anything(case):
        return flatgauge.Estimate(1.0, rel_error=5.0)

    verdicts = [flatgauge.check(measure="parameter_norm", estimate=mine).verdict for mine in (near, beyond, anything)]
    assert verdicts == ["pass", "fail", "fail"]
    with pytest.raises(ValueError, match="abs_error is -1"):
        flatgauge.Estimate(1.0, abs_error=-1.0)


def test_replicates_have_honest_errors():
    @flatgauge.replicates(64)
    def noisy(case):
        return float(np.random.default_rng(case.seed).normal(3.0, 0.5))

    case = flatgauge.PriorCase(np.eye(2), np.array([1, 1], np.int8), "step", seed=5)
    estimates = [noisy(case.with_seed(seed)) for seed in range(200)]
    z = [(estimate.value - 3.0) / estimate.std_error for estimate in estimates]
    # 200 of Student's t with 63 degrees: the root mean square is 1.016 +- 0.05, and 5 of these errors is one in a million.
    assert abs(np.sqrt(np.mean(np.square(z))) - 1.016) < 0.26 and abs(np.mean(z)) < 0.36


def test_a_report_is_the_programs(tmp_path):
    flatgauge.check(measure="parameter_norm", estimate=norm, report=tmp_path)
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["verdict"] == "pass" and (tmp_path / "index.html").is_file()
