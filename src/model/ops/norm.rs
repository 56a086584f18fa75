//! Layer norm (Ba et al., arXiv:1607.06450).

use rten_simd::Isa;
use rten_simd::ops::{BitOps, NumOps};

use super::level::{Arch, Level, Op};
use super::vector::{fold, load, map, sum};

/// The learnt part of a layer norm.
pub struct LayerNorm {
    /// Factor of each element.
    pub weight: Vec<f32>,
    /// Added to each element.
    pub bias: Vec<f32>,
    /// Added to the variance, so that a row of equal elements does not divide by 0.
    pub epsilon: f32,
}

impl LayerNorm {
    /// Normalizes, in place, rows of as many elements as there are weights.
    pub fn normalize(&self, level: Level, rows: &mut [f32]) {
        level.run(NormalizeRows { norm: self, rows });
    }
}

struct NormalizeRows<'a> {
    norm: &'a LayerNorm,
    rows: &'a mut [f32],
}

impl Op for NormalizeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<A: Arch, const R: usize>(self, arch: A) {
        let isa = arch.isa();
        let ops = isa.f32();
        let LayerNorm { weight, bias, epsilon } = self.norm;
        let count = weight.len() as f32;
        for row in self.rows.chunks_exact_mut(weight.len()) {
            let mean = sum(isa, row) / count;
            let centre = ops.splat(mean);
            let squares = fold(
                isa,
                row,
                mean,
                ops.zero(),
                #[inline(always)]
                |sum, x| {
                    let distance = ops.sub(x, centre);
                    ops.mul_add(distance, distance, sum)
                },
                #[inline(always)]
                |a, b| ops.add(a, b),
            );
            let variance = ops.sum(squares) / count;
            let scale = ops.splat((variance + epsilon).sqrt().recip());
            map(
                isa,
                row,
                #[inline(always)]
                |at, x| {
                    ops.mul_add(ops.mul(ops.sub(x, centre), scale), load(isa, &weight[at..]), load(isa, &bias[at..]))
                },
            );
        }
    }
}
