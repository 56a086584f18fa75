//! Layer norm (Ba et al., arXiv:1607.06450).

use rten_simd::SimdOp;
use rten_vecmath::{Normalize, NormalizeOptions, Sum, SumSquareSub};

use super::level::{Arch, Level, Op};

/// Epsilon of DistilBERT's layer norms, fixed in the architecture.
const EPSILON: f32 = 1e-12;

/// The learnt part of a layer norm.
pub struct LayerNorm {
    /// Factor of each element.
    pub weight: Vec<f32>,
    /// Added to each element.
    pub bias: Vec<f32>,
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
        let columns = self.norm.weight.len();
        for row in self.rows.chunks_exact_mut(columns) {
            let mean = Sum::new(row).eval(arch.isa()) / columns as f32;
            let variance = SumSquareSub::new(row, mean).eval(arch.isa()) / columns as f32;
            let options = NormalizeOptions {
                pre_scale_bias: mean,
                scale: (variance + EPSILON).sqrt().recip(),
                element_scale: Some(&self.norm.weight),
                bias: 0.0,
                element_bias: Some(&self.norm.bias),
            };
            Normalize::new_mut(row, options).eval(arch.isa());
        }
    }
}
