//! How large a network may be.

use crate::model::ModelError;

/// Most numbers that one thing of a network may take: its parameters, or what one layer makes of one input. Each is 2 GiB in
/// double precision. The largest networks whose Hessians are published (ResNet-152, BERT, VGG) have half as many parameters;
/// where more are asked for, a size is mistaken, and memory would end long before the work does.
pub const MOST_NUMBERS: usize = 1 << 28;
/// Most residual blocks inside each other. Networks are written into files as JSON, which is read up to a depth of 128, two for
/// each block.
pub const MOST_NESTED: usize = 48;

/// The product of some sizes, if it is at most [`MOST_NUMBERS`].
///
/// # Errors
/// [`ModelError::TooLarge`] with the sizes.
pub(crate) fn product(place: impl Fn() -> String, what: &'static str, sizes: &[usize]) -> Result<usize, ModelError> {
    let product = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    product.filter(|product| *product <= MOST_NUMBERS).ok_or_else(|| {
        let found = sizes.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
        ModelError::TooLarge { place: place(), what, found, most: MOST_NUMBERS }
    })
}
