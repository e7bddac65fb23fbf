//! Windows sliding over the planes of a `channels x height x width` volume, with zero padding.

use crate::model::{MOST_NUMBERS, Padding};

/// Where the windows of a convolution or pooling lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    /// Channels of the input.
    pub channels: usize,
    /// Height and width of the input.
    pub input: [usize; 2],
    /// Height and width of a window.
    pub size: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Zeros above and to the left of the input.
    pub before: [usize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
}

impl Window {
    /// Windows on inputs of `shape`.
    ///
    /// # Errors
    /// What is wrong with the shape, size or stride.
    pub fn new(shape: &[usize], size: [usize; 2], stride: [usize; 2], padding: Padding) -> Result<Self, String> {
        let &[channels, height, width] = shape else {
            return Err("it takes a volume [channels, height, width], found a vector".to_owned());
        };
        if size.contains(&0) || stride.contains(&0) {
            return Err(format!("its window {size:?} with stride {stride:?} has a zero, expected at least 1"));
        }
        let sizes = [size, stride, if let Padding::Zeros(zeros) = padding { zeros } else { [0; 2] }];
        if let Some(extent) = sizes.iter().flatten().find(|extent| **extent > MOST_NUMBERS) {
            return Err(format!(
                "its window {size:?} with stride {stride:?} and padding {padding} reaches over {extent} positions, more \
                 than {MOST_NUMBERS}"
            ));
        }
        let input = [height, width];
        let (mut before, mut output) = ([0; 2], [0; 2]);
        for axis in 0..2 {
            let padded = match padding {
                Padding::Same => {
                    output[axis] = input[axis].div_ceil(stride[axis]);
                    before[axis] = ((output[axis] - 1) * stride[axis] + size[axis]).saturating_sub(input[axis]) / 2;
                    continue;
                }
                Padding::Valid => input[axis],
                Padding::Zeros(zeros) => {
                    if zeros[axis] >= size[axis] {
                        return Err(format!("its padding {zeros:?} must be smaller than its window {size:?}"));
                    }
                    before[axis] = zeros[axis];
                    input[axis] + 2 * zeros[axis]
                }
            };
            if padded < size[axis] {
                return Err(format!("its window {size:?} is larger than the (padded) input"));
            }
            output[axis] = (padded - size[axis]) / stride[axis] + 1;
        }
        Ok(Self { channels, input, size, stride, before, output })
    }

    /// Rows and columns of the input that some window reaches, padding included.
    pub fn padded(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.output[axis] - 1) * self.stride[axis] + self.size[axis])
    }

    /// Positions of one output plane.
    pub fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Positions of one input plane.
    pub fn input_positions(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Entries of one window over all channels.
    pub fn taps(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    /// Whether the patches of an image are the image itself.
    pub fn is_pointwise(&self) -> bool {
        self.size == [1, 1] && self.stride == [1, 1]
    }

    /// The outputs along `axis` whose window entry `tap` lies inside the input.
    pub fn inside(&self, axis: usize, tap: usize) -> std::ops::Range<usize> {
        let (stride, before, extent) = (self.stride[axis], self.before[axis], self.input[axis]);
        let first = before.saturating_sub(tap).div_ceil(stride);
        let end = (extent + before).saturating_sub(tap).div_ceil(stride).min(self.output[axis]);
        first.min(end)..end
    }

    /// The input row or column under window entry `tap` of output `output`, which must be inside.
    pub fn source(&self, axis: usize, output: usize, tap: usize) -> usize {
        output * self.stride[axis] + tap - self.before[axis]
    }

    /// Calls `each(patch_start, image_start, count)` for every run of a patch row: `count` entries from
    /// `patch_start` on, taken from the image at `image_start` with a step of the horizontal stride.
    fn runs(&self, mut each: impl FnMut(usize, usize, usize)) {
        let mut patch_row = 0;
        for channel in 0..self.channels {
            for i in 0..self.size[0] {
                for j in 0..self.size[1] {
                    let columns = self.inside(1, j);
                    for y in self.inside(0, i) {
                        if columns.is_empty() {
                            continue;
                        }
                        let row = channel * self.input[0] + self.source(0, y, i);
                        each(
                            patch_row * self.positions() + y * self.output[1] + columns.start,
                            row * self.input[1] + self.source(1, columns.start, j),
                            columns.len(),
                        );
                    }
                    patch_row += 1;
                }
            }
        }
    }

    /// Lays the windows of `image` out as the columns of `patches`, `taps x positions`.
    pub fn gather(&self, image: &[f64], patches: &mut [f64]) {
        assert_eq!(image.len(), self.channels * self.input_positions(), "the image does not fit the windows");
        assert_eq!(patches.len(), self.taps() * self.positions(), "the patches do not fit the windows");
        patches.fill(0.0);
        let step = self.stride[1];
        self.runs(|patch, from, count| {
            let target = &mut patches[patch..patch + count];
            if step == 1 {
                target.copy_from_slice(&image[from..from + count]);
            } else {
                for (target, value) in target.iter_mut().zip(image[from..].iter().step_by(step)) {
                    *target = *value;
                }
            }
        });
    }

    /// The transpose of [`Window::gather`]: adds every patch entry to the image entry it came from.
    pub fn scatter(&self, patches: &[f64], image: &mut [f64]) {
        assert_eq!(image.len(), self.channels * self.input_positions(), "the image does not fit the windows");
        assert_eq!(patches.len(), self.taps() * self.positions(), "the patches do not fit the windows");
        let step = self.stride[1];
        self.runs(|patch, from, count| {
            let source = &patches[patch..patch + count];
            for (value, source) in image[from..].iter_mut().step_by(step).zip(source) {
                *value += source;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_splits_zeros_evenly_with_the_odd_one_at_the_end() {
        let window = Window::new(&[1, 5, 6], [3, 4], [2, 2], Padding::Same).unwrap();
        assert_eq!((window.output, window.before), ([3, 3], [1, 1]));
        let window = Window::new(&[1, 5, 6], [3, 3], [1, 1], Padding::Valid).unwrap();
        assert_eq!((window.output, window.before), ([3, 4], [0, 0]));
        let window = Window::new(&[1, 8, 8], [3, 3], [2, 2], Padding::Zeros([1, 1])).unwrap();
        assert_eq!((window.output, window.before), ([4, 4], [1, 1]));
        // A window that never reaches some rows, and one wider than the image.
        let window = Window::new(&[1, 2, 2], [5, 5], [1, 1], Padding::Same).unwrap();
        assert_eq!(window.inside(0, 0), 2..2);
        assert_eq!(window.inside(0, 2), 0..2);
        assert!(Window::new(&[1, 2, 2], [3, 3], [1, 1], Padding::Valid).is_err());
    }

    #[test]
    fn gather_and_scatter_are_transposes_of_each_other() {
        for (size, stride, padding) in [
            ([3, 2], [1, 1], Padding::Same),
            ([2, 3], [2, 1], Padding::Valid),
            ([3, 3], [2, 3], Padding::Zeros([2, 1])),
            ([1, 1], [2, 2], Padding::Same),
        ] {
            let window = Window::new(&[2, 4, 5], size, stride, padding).unwrap();
            let (images, patches) = (2 * 4 * 5, window.taps() * window.positions());
            for index in 0..images {
                let mut image = vec![0.0; images];
                image[index] = 1.0;
                let mut laid_out = vec![f64::NAN; patches];
                window.gather(&image, &mut laid_out);
                for (entry, value) in laid_out.iter().enumerate() {
                    let mut patch = vec![0.0; patches];
                    patch[entry] = 1.0;
                    let mut back = vec![0.0; images];
                    window.scatter(&patch, &mut back);
                    assert_eq!(*value, back[index]);
                }
            }
        }
    }
}
