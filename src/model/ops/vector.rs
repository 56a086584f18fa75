//! Loops over a row in vectors.

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, Simd};

use super::Rows;

/// Vectors that are folded side by side, so that none waits for the one before.
const CHAINS: usize = 4;

/// Folds `row` with `step`, in several chains from `start` that `join` brings together. Where the row
/// ends within a vector, `filler` stands for what is missing.
#[inline(always)]
pub fn fold<I: Isa, S: Copy>(
    isa: I,
    row: &[f32],
    filler: f32,
    start: S,
    step: impl Fn(S, I::F32) -> S,
    join: impl Fn(S, S) -> S,
) -> S {
    let ops = isa.f32();
    let lanes = ops.len();
    let mut chains = [start; CHAINS];
    let mut at = 0;
    while at + CHAINS * lanes <= row.len() {
        for (index, chain) in chains.iter_mut().enumerate() {
            *chain = step(*chain, ops.load(&row[at + index * lanes..]));
        }
        at += CHAINS * lanes;
    }
    let mut index = 0;
    while at < row.len() {
        let rest = &row[at..];
        let x = if rest.len() >= lanes {
            ops.load(rest)
        } else {
            let (x, mask) = ops.load_pad(rest);
            ops.select(x, ops.splat(filler), mask)
        };
        chains[index] = step(chains[index], x);
        (at, index) = (at + lanes, index + 1);
    }
    let [a, b, c, d] = chains;
    join(join(a, b), join(c, d))
}

/// The sum of a row.
#[inline(always)]
pub fn sum<I: Isa>(isa: I, row: &[f32]) -> f32 {
    let ops = isa.f32();
    ops.sum(fold(
        isa,
        row,
        0.0,
        ops.zero(),
        #[inline(always)]
        |sum, x| ops.add(sum, x),
        #[inline(always)]
        |a, b| ops.add(a, b),
    ))
}

/// The largest element of a row, or -∞.
#[inline(always)]
pub fn max<I: Isa>(isa: I, row: &[f32]) -> f32 {
    let ops = isa.f32();
    let most = fold(
        isa,
        row,
        f32::NEG_INFINITY,
        ops.splat(f32::NEG_INFINITY),
        #[inline(always)]
        |most, x| ops.max(most, x),
        #[inline(always)]
        |a, b| ops.max(a, b),
    );
    most.to_array().into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// The least and the largest element of a row and of 0; `None` if one is not finite, or all are so
/// large that their sum is not.
#[inline(always)]
pub fn range<I: Isa>(isa: I, row: &[f32]) -> Option<(f32, f32)> {
    let ops = isa.f32();
    let (least, most, total) = fold(
        isa,
        row,
        0.0,
        (ops.zero(), ops.zero(), ops.zero()),
        #[inline(always)]
        // NaN is lost by minimum and maximum, but not in a sum.
        |(least, most, total), x| (ops.min(least, x), ops.max(most, x), ops.add(total, x)),
        #[inline(always)]
        |a, b| (ops.min(a.0, b.0), ops.max(a.1, b.1), ops.add(a.2, b.2)),
    );
    ops.sum(total).is_finite().then(
        #[inline(always)]
        || {
            let (least, most) = (least.to_array(), most.to_array());
            (least.into_iter().fold(0.0, f32::min), most.into_iter().fold(0.0, f32::max))
        },
    )
}

/// The product of `x` with each of `rows`.
#[inline(always)]
pub fn dots<I: Isa>(isa: I, x: &[f32], rows: Rows<'_>, out: &mut [f32]) {
    let ops = isa.f32();
    for (block, out) in out.chunks_mut(CHAINS).enumerate() {
        // A row that is not there is the last one once more.
        let mut vectors = [&x[..0]; CHAINS];
        for (index, row) in vectors.iter_mut().enumerate() {
            *row = rows.row((block * CHAINS + index).min(rows.rows - 1));
        }
        let mut sums = [ops.zero(); CHAINS];
        for at in (0..x.len()).step_by(ops.len()) {
            let factor = load(isa, &x[at..]);
            for (sum, row) in sums.iter_mut().zip(vectors) {
                *sum = ops.mul_add(factor, load(isa, &row[at..]), *sum);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = ops.sum(sum);
        }
    }
}

/// The sum of `rows`, each times its weight.
#[inline(always)]
pub fn weighted_sum<I: Isa>(isa: I, weights: &[f32], rows: Rows<'_>, out: &mut [f32]) {
    let ops = isa.f32();
    out.fill(0.0);
    for (block, weights) in weights.chunks(CHAINS).enumerate() {
        // A row that is not there is the last one, times 0.
        let mut terms = [(ops.zero(), rows.row(0)); CHAINS];
        for (index, term) in terms.iter_mut().enumerate() {
            let weight = weights.get(index).copied().unwrap_or(0.0);
            *term = (ops.splat(weight), rows.row((block * CHAINS + index).min(rows.rows - 1)));
        }
        map(
            isa,
            out,
            #[inline(always)]
            |at, mut sum| {
                for (weight, row) in terms {
                    sum = ops.mul_add(weight, load(isa, &row[at..]), sum);
                }
                sum
            },
        );
    }
}

/// Replaces every vector `x` of `row`, from element `at` on, by `change(at, x)`.
#[inline(always)]
pub fn map<I: Isa>(isa: I, row: &mut [f32], mut change: impl FnMut(usize, I::F32) -> I::F32) {
    let ops = isa.f32();
    let lanes = ops.len();
    let whole = row.len() / lanes * lanes;
    for at in (0..whole).step_by(lanes) {
        let place = &mut row[at..];
        ops.store(change(at, ops.load(place)), place);
    }
    if whole < row.len() {
        let place = &mut row[whole..];
        let (x, mask) = ops.load_pad(place);
        let x = change(whole, x);
        // SAFETY: the mask leaves out what is beyond the row.
        unsafe { ops.store_ptr_mask(x, place.as_mut_ptr(), mask) };
    }
}

/// A vector of `values`, which may be too short for one.
#[inline(always)]
pub fn load<I: Isa>(isa: I, values: &[f32]) -> I::F32 {
    let ops = isa.f32();
    if values.len() >= ops.len() { ops.load(values) } else { ops.load_pad(values).0 }
}
