//! The publications that measures, methods and laws come from.

use super::Reference;

macro_rules! references {
    ($($name:ident = $authors:literal, $year:literal, $title:literal, $locator:literal;)*) => {
        $(#[doc = concat!($authors, " ", $year, ". *", $title, "*. ", $locator)]
        pub const $name: Reference = Reference { authors: $authors, year: $year, title: $title, locator: $locator };)*

        /// All of them.
        pub const ALL: &[Reference] = &[$($name),*];
    };
}

references! {
    BARTLETT_1998 = "Bartlett", 1998, "The sample complexity of pattern classification with neural networks: the size of the weights is more important than the size of the network", "doi:10.1109/18.661502";
    BOTEV_2017 = "Botev", 2017, "The normal law under linear restrictions: simulation and estimation via minimax tilting", "doi:10.1111/rssb.12162";
    BYRD_1995 = "Byrd et al.", 1995, "A limited memory algorithm for bound constrained optimization", "doi:10.1137/0916069";
    CHAUDHARI_2017 = "Chaudhari et al.", 2017, "Entropy-SGD: biasing gradient descent into wide valleys", "arXiv:1611.01838";
    CUNNINGHAM_2011 = "Cunningham, Hennig and Lacoste-Julien", 2011, "Gaussian probabilities and expectation propagation", "arXiv:1111.6832";
    DINH_2017 = "Dinh et al.", 2017, "Sharp minima can generalize for deep nets", "arXiv:1703.04933";
    DUNNETT_1955 = "Dunnett and Sobel", 1955, "Approximations to the probability integral and certain percentage points of a multivariate analogue of Student's t-distribution", "Biometrika 42, 258-260";
    EPPERLY_2024 = "Epperly, Tropp and Webber", 2024, "XTrace: making the most of every sample in stochastic trace estimation", "arXiv:2301.07825";
    GENZ_1992 = "Genz", 1992, "Numerical computation of multivariate normal probabilities", "doi:10.1080/10618600.1992.10477010";
    GENZ_2009 = "Genz and Bretz", 2009, "Computation of multivariate normal and t probabilities", "doi:10.1007/978-3-642-01689-9";
    GESSNER_2020 = "Gessner, Kanjilal and Hennig", 2020, "Integrals over Gaussians under linear domain constraints", "arXiv:1910.09328";
    GEWEKE_1991 = "Geweke", 1991, "Efficient simulation from the multivariate normal and Student-t distributions subject to linear constraints", "Computing Science and Statistics: Proceedings of the 23rd Symposium on the Interface, 571-578";
    GHORBANI_2019 = "Ghorbani, Krishnan and Xiao", 2019, "An investigation into neural net optimization via Hessian eigenvalue density", "arXiv:1901.10159";
    GUARNIERO_2017 = "Guarniero, Johansen and Lee", 2017, "The iterated auxiliary particle filter", "arXiv:1511.06286";
    HUTCHINSON_1990 = "Hutchinson", 1990, "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines", "doi:10.1080/03610919008812866";
    JIANG_2020 = "Jiang et al.", 2020, "Fantastic generalization measures and where to find them", "arXiv:1912.02178";
    KESKAR_2017 = "Keskar et al.", 2017, "On large-batch training for deep learning: generalization gap and sharp minima", "arXiv:1609.04836";
    KWON_2021 = "Kwon et al.", 2021, "ASAM: adaptive sharpness-aware minimization for scale-invariant learning of deep neural networks", "arXiv:2102.11600";
    LANCZOS_1950 = "Lanczos", 1950, "An iteration method for the solution of the eigenvalue problem of linear differential and integral operators", "doi:10.6028/jres.045.026";
    LAU_2023 = "Lau et al.", 2023, "The local learning coefficient: a singularity-aware complexity measure", "arXiv:2308.12108";
    LEE_2018 = "Lee et al.", 2018, "Deep neural networks as Gaussian processes", "arXiv:1711.00165";
    LIANG_2017 = "Liang et al.", 2017, "Fisher-Rao metric, geometry, and complexity of neural networks", "arXiv:1711.01530";
    MACKAY_1992 = "MacKay", 1992, "Bayesian interpolation", "doi:10.1162/neco.1992.4.3.415";
    MEYER_2021 = "Meyer et al.", 2021, "Hutch++: optimal stochastic trace estimation", "arXiv:2010.09649";
    MINKA_2001 = "Minka", 2001, "Expectation propagation for approximate Bayesian inference", "arXiv:1301.2294";
    NEAL_2003 = "Neal", 2003, "Slice sampling", "doi:10.1214/aos/1056562461";
    NEYSHABUR_2015 = "Neyshabur, Tomioka and Srebro", 2015, "Norm-based capacity control in neural networks", "arXiv:1503.00036";
    NEYSHABUR_2017 = "Neyshabur et al.", 2017, "Exploring generalization in deep learning", "arXiv:1706.08947";
    OOSTEROM_1983 = "van Oosterom and Strackee", 1983, "The solid angle of a plane triangle", "doi:10.1109/TBME.1983.325207";
    PETZKA_2021 = "Petzka et al.", 2021, "Relative flatness and generalization", "arXiv:2001.00939";
    RASMUSSEN_2006 = "Rasmussen and Williams", 2006, "Gaussian processes for machine learning", "MIT Press, ISBN 0-262-18253-X";
    RIDGWAY_2016 = "Ridgway", 2016, "Computation of Gaussian orthant probabilities in high dimension", "arXiv:1411.1314";
    SHEPPARD_1899 = "Sheppard", 1899, "On the application of the theory of error to cases of normal distribution and normal correlation", "doi:10.1098/rsta.1899.0003";
    TSUZUKU_2020 = "Tsuzuku, Sato and Sugiyama", 2020, "Normalized flat minima: exploring scale invariant definition of flat minima for neural networks using PAC-Bayesian analysis", "arXiv:1901.04653";
    UBARU_2017 = "Ubaru, Chen and Saad", 2017, "Fast estimation of tr(f(A)) via stochastic Lanczos quadrature", "doi:10.1137/16M1104974";
    VALLE_PEREZ_2019 = "Valle-Perez, Camargo and Louis", 2019, "Deep learning generalizes because the parameter-function map is biased towards simple functions", "arXiv:1805.08522";
    VEACH_1995 = "Veach and Guibas", 1995, "Optimally combining sampling techniques for Monte Carlo rendering", "doi:10.1145/218380.218498";
    WALLACE_1959 = "Wallace", 1959, "Bounds on normal approximations to Student's and the chi-square distributions", "doi:10.1214/aoms/1177706096";
    WATANABE_2013 = "Watanabe", 2013, "A widely applicable Bayesian information criterion", "arXiv:1208.6338";
    WILLIAMS_1998 = "Williams and Barber", 1998, "Bayesian classification with Gaussian processes", "doi:10.1109/34.735807";
    WU_2017 = "Wu, Zhu and E", 2017, "Towards understanding generalization of deep learning: perspective of loss landscapes", "arXiv:1706.10239";
    WU_2022 = "Wu, Wang and Su", 2022, "The alignment property of SGD noise and how it helps select flat minima: a stability analysis", "arXiv:2207.02628";
    YAO_2018 = "Yao et al.", 2018, "Hessian-based analysis of large batch training and robustness to adversaries", "arXiv:1802.08241";
    ZHANG_2021 = "Zhang et al.", 2021, "Why flatness does and does not correlate with generalization for deep neural networks", "arXiv:2103.06219";
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn locators_are_well_formed() {
        for reference in ALL {
            let is_linked = reference.locator.starts_with("doi:10.") || reference.locator.starts_with("arXiv:");
            assert_eq!(reference.address().is_some(), is_linked, "{reference}");
            if let Some(id) = reference.locator.strip_prefix("arXiv:") {
                let (month, number) = id.split_once('.').unwrap();
                assert!(month.len() == 4 && month.bytes().chain(number.bytes()).all(|b| b.is_ascii_digit()), "{id}");
            }
        }
    }
}
