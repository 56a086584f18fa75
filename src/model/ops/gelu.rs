//! The exact GELU, `x Φ(x)` with Φ the normal distribution (Hendrycks and Gimpel, arXiv:1606.08415).

use rten_simd::ops::{BitOps, FloatOps, IntOps, NumOps};
use rten_simd::{Isa, Simd};

/// `-log2(2 Φ(-x)) / x` for x from 0 to [`FLAT`], as a polynomial of x, lowest power first: made by
/// least squares, reweighted until the error of `2 Φ(-x)` was even, 1.6e-8.
#[allow(clippy::excessive_precision, reason = "as the fit gave them")]
const TAIL: [f32; 8] = [
    1.151105165e+00,
    4.592081904e-01,
    5.249617994e-02,
    -7.063420489e-03,
    1.369366946e-04,
    1.861801138e-04,
    -3.937766451e-05,
    2.834910902e-06,
];

/// `(2^x - 1) / x` for x from -1/2 to 1/2, likewise; the relative error of `2^x` is 2e-9.
#[allow(clippy::excessive_precision, reason = "as the fit gave them")]
const EXP2: [f32; 6] =
    [6.931472029e-01, 2.402264791e-01, 5.550332470e-02, 9.618437366e-03, 1.339887486e-03, 1.535336062e-04];

/// From here on Φ is 1 in single precision.
const FLAT: f32 = 5.515_433;

/// GELU of each lane, to 3e-7.
///
/// As `max(x, 0) - |x| Φ(-|x|)`, where Φ's tail is a power of 2: unlike by the usual formulas for erf
/// there is nothing to divide, and both signs take one way.
#[inline(always)]
pub fn gelu<I: Isa>(isa: I, x: I::F32) -> I::F32 {
    let (ops, int_ops) = (isa.f32(), isa.i32());
    let size = ops.abs(x);
    let clamped = ops.min(size, ops.splat(FLAT));
    let mut tail = ops.splat(TAIL[7]);
    for coefficient in TAIL[..7].iter().rev() {
        tail = ops.mul_add(tail, clamped, ops.splat(*coefficient));
    }
    let exponent = ops.neg(ops.mul(tail, clamped));
    let whole = ops.to_int_round(exponent);
    let rest = ops.sub(exponent, ops.round_ties_even(exponent));
    let mut power = ops.splat(EXP2[5]);
    for coefficient in EXP2[..5].iter().rev() {
        power = ops.mul_add(power, rest, ops.splat(*coefficient));
    }
    // Half of 2^rest, times 2^whole by way of the exponent's bits: `whole` is -25 to 0.
    let half = ops.splat(0.5);
    let power = ops.mul_add(ops.mul(power, half), rest, half);
    let shifted = int_ops.add(power.reinterpret_cast(), int_ops.shift_left::<23>(whole));
    ops.mul_sub_from(size, shifted.reinterpret_cast(), ops.max(x, ops.zero()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ops::level::{Arch, Level, Op};
    use crate::model::ops::vector::map;

    struct Gelu<'a>(&'a mut [f32]);

    impl Op for Gelu<'_> {
        type Output = ();
        #[inline(always)]
        fn eval<A: Arch, const R: usize>(self, arch: A) {
            let isa = arch.isa();
            map(
                isa,
                self.0,
                #[inline(always)]
                |_, x| gelu(isa, x),
            );
        }
    }

    #[test]
    fn equals_the_double_precision_one() {
        let x: Vec<f32> = (-100_000..=100_000).map(|step| step as f32 / 10_000.0).collect();
        let exact: Vec<f64> = candle_core::Tensor::new(&x[..], &candle_core::Device::Cpu)
            .and_then(|x| x.to_dtype(candle_core::DType::F64)?.gelu_erf()?.to_vec1())
            .unwrap();
        for level in Level::supported() {
            let mut found = x.clone();
            level.run(Gelu(&mut found));
            for ((x, found), exact) in x.iter().zip(&found).zip(&exact) {
                // Half a unit in the last place for large x.
                let tolerance = 2e-7 + 6e-8 * f64::from(x.abs());
                assert!((f64::from(*found) - exact).abs() < tolerance, "{x}: {found}, {exact}");
            }
        }
    }

    #[test]
    fn values_beyond_the_flat_part_and_not_finite() {
        let extremes = [0.0, -0.0, 1e30, -1e30, f32::MAX, f32::INFINITY, f32::NAN];
        for level in Level::supported() {
            let mut found = extremes;
            level.run(Gelu(&mut found));
            assert_eq!(&found[..2], &[0.0, 0.0]);
            assert_eq!(found[2], 1e30);
            assert!(found[3].abs() < 1e23, "{}", found[3]);
            assert!(found[6].is_nan(), "NaN must not turn into a number with {}", level.name());
        }
    }
}
