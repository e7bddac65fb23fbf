"""Print the table of ends of Clopper-Pearson intervals in src/function/interval.rs, to 40 digits.

    python golden/generate/clopper_pearson.py

Needs mpmath 1.3. At most 2000 hits or misses: tails summed term by term. More: the beta integral over log odds, by quadrature
around its peak, over the binomial probability from log-gamma functions; no code is shared with the program.
"""
import mpmath as mp

mp.mp.dps = 60


def log_tail(k, n, p):
    """ln P(X <= k)."""
    q = 1 - p
    log_mass = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1) + k * mp.log(p) + (n - k) * mp.log(q)
    if k <= 2000:
        term = total = mp.mpf(1)
        for j in range(k):
            term *= (k - j) * q / ((n - k + 1 + j) * p)
            total += term
        return log_mass + mp.log(total)
    if n - k <= 2000:
        # P(X <= k) = 1 - P(at most n - k - 1 misses), over the mass of k.
        term, total = mp.mpf(1), mp.mpf(0)
        for j in range(1, n - k + 1):
            term *= (n - k - j + 1) * p / ((k + j) * q)
            total += term
        return mp.log(1 - mp.exp(log_mass) * total)
    def exponent(u):
        return -(n - k) * u - (n + 1) * mp.log1p(q * mp.expm1(-u))
    step = 1 / mp.sqrt(n * p * q)
    points = [step * j / 2 for j in range(0, 81)]
    integral = mp.quad(lambda u: mp.exp(exponent(u)), points)
    return log_mass + mp.log((n - k) * p * integral)


def upper(k, n, alpha):
    """p with P(X <= k) = alpha / 2, by bisection and secants in log odds."""
    target = mp.log(alpha / 2)
    def f(s):
        return log_tail(k, n, 1 / (1 + mp.exp(-s))) - target
    centre = mp.log(mp.mpf(k + 1) / (n - k))
    spread = mp.sqrt(mp.mpf(1) / k + mp.mpf(1) / (n - k))
    s = mp.findroot(f, (centre + spread, centre + 3 * spread), solver="secant", tol=1e-45, maxsteps=60)
    return 1 / (1 + mp.exp(-s)), 1 / (1 + mp.exp(s))


CASES = [(1, 178_000_000), (2, 180_000_000), (3, 320_000_000), (10, 320_000_000), (1, 10**9), (2, 10**9), (30, 10**9),
         (1, 10**10), (100, 3_200_000_000), (1000, 5_600_000_000), (100_000, 32_000_000_000), (7, 10**12), (1, 10**15),
         (1, 10**17), (5000, 10**17), (10**7, 10**17), (10**16, 10**17), (5 * 10**16, 10**17), (3, 7), (1, 2),
         (999_999, 10**9), (1_000_001, 10**9), (3 * 10**6, 10**7), (10**7 - 1500, 10**7), (17, 40)]


def main():
    for confidence in (0.95, 0.999):
        # The program's tail is that of f64: 1 - confidence, halved.
        alpha = mp.mpf(1 - confidence)
        for k, n in CASES if confidence == 0.95 else CASES[:10]:
            high, _ = upper(k, n, alpha)
            _, low = upper(n - k, n, alpha)
            print(f"({k}, {n}, {confidence}, {mp.nstr(low, 20, min_fixed=0, max_fixed=0)}, "
              f"{mp.nstr(high, 20, min_fixed=0, max_fixed=0)}),", flush=True)


if __name__ == "__main__":
    main()
