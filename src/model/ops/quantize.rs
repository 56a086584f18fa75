//! Rows of activations to 8 bits, each with its own scale.
//!
//! Scales per row (per token) keep a token's result independent of the batch around it, and fit
//! the outliers of single tokens; see Yao et al., "ZeroQuant" (arXiv:2206.01861).

use rten_gemm::GemmExecutor;
use rten_simd::Isa;
use rten_simd::ops::{BitOps, FloatOps, NarrowSaturate, NumOps};

use super::Rows;
use super::buffer::Scratch;
use super::level::{Arch, Level, Op};
use super::threads::{Shared, Threads};
use super::vector::range;

/// `value = scale * (quantized - zero)` for every element of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scale {
    /// Step between neighbouring values; positive, or NaN for a row that is not finite.
    pub scale: f32,
    /// The value that stands for 0.
    pub zero: i32,
}

/// Rows in 8 bits; the memory is kept from one use to the next.
#[derive(Default)]
pub struct Quantized {
    /// `[rows][depth]`, where `depth` is the number of columns rounded up to a multiple of 4.
    pub values: Scratch<u8>,
    /// One for each row.
    pub scales: Vec<Scale>,
}

/// Columns as [`Quantized`] stores them: whole groups of 4.
pub fn padded(columns: usize) -> usize {
    columns.next_multiple_of(4)
}

/// The largest quantized activation: 8 bits, or 7 where the integer products of this processor
/// saturate.
pub fn largest(level: Level) -> u8 {
    let saturates =
        if level.has_dot() { level.dot_may_saturate() } else { GemmExecutor::<u8, i8, i32>::new().may_saturate() };
    if saturates { 127 } else { 255 }
}

impl Quantized {
    /// Holds `x` in 8 bits.
    pub fn fill(&mut self, level: Level, threads: Threads<'_>, x: Rows<'_>) {
        let (depth, largest) = (padded(x.columns), largest(level));
        // Nothing that is there is read; the padding meets weights of zero.
        self.values.grow(x.rows * depth);
        self.scales.resize(x.rows.max(self.scales.len()), Scale::default());
        let (values, scales) = (Shared::new(&mut self.values), Shared::new(&mut self.scales));
        threads.split(x.rows, |rows| {
            // SAFETY: the ranges of rows that `split` gives do not overlap.
            let (values, scales) = unsafe {
                (values.slice_mut(rows.start * depth, rows.len() * depth), scales.slice_mut(rows.start, rows.len()))
            };
            level.run(QuantizeRows { x, first: rows.start, depth, largest, values, scales });
        });
    }
}

struct QuantizeRows<'a> {
    x: Rows<'a>,
    first: usize,
    depth: usize,
    largest: u8,
    values: &'a mut [u8],
    scales: &'a mut [Scale],
}

impl Op for QuantizeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<A: Arch, const R: usize>(self, arch: A) {
        for (index, (values, scale)) in self.values.chunks_exact_mut(self.depth).zip(self.scales).enumerate() {
            let row = self.x.row(self.first + index);
            // The range holds 0, so that `zero` is among the values. What is not finite must stay so, as in f32.
            let (least, most) = range(arch.isa(), row).unwrap_or((f32::NAN, f32::NAN));
            let step = (most - least) / f32::from(self.largest);
            let step = if step == 0.0 { 1.0 } else { step };
            let zero = (-least / step).round();
            *scale = Scale { scale: step, zero: zero as i32 };
            quantize(arch.isa(), row, step.recip(), zero as i32, values);
        }
    }
}

/// `values[i] = round(row[i] * inverse) + zero`, ties to even; what is beyond `row` is left as it is.
#[inline(always)]
fn quantize<I: Isa>(isa: I, row: &[f32], inverse: f32, zero: i32, values: &mut [u8]) {
    let (ops, int_ops) = (isa.f32(), isa.i32());
    let (factor, offset) = (ops.splat(inverse), int_ops.splat(zero));
    // Four vectors of floats make one of bytes.
    let lanes = ops.len();
    let whole = row.len() / (4 * lanes) * (4 * lanes);
    for at in (0..whole).step_by(4 * lanes) {
        let from = &row[at..][..4 * lanes];
        let [a, b, c, d] = std::array::from_fn(
            #[inline(always)]
            |part| {
                let x = ops.mul(ops.load(&from[part * lanes..]), factor);
                int_ops.add(ops.to_int_round(x), offset)
            },
        );
        let (low, high) = (int_ops.narrow_saturate(a, b), int_ops.narrow_saturate(c, d));
        isa.u8().store(isa.i16().narrow_saturate(low, high), &mut values[at..]);
    }
    for (value, x) in values[whole..].iter_mut().zip(&row[whole..]) {
        *value = ((x * inverse).round_ties_even() as i32 + zero).clamp(0, 255) as u8;
    }
}
