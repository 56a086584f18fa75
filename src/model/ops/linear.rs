//! `x W + b`, with what follows it in a transformer block fused.

use std::cell::Cell;
use std::ops::Range;

use candle_core::{CpuStorage, InplaceOp2, InplaceOp3, Layout, Result as CandleResult, bail};
use rten_simd::ops::{BitOps, NumOps, ToFloat};
use rten_simd::{Isa, SimdUnaryOp};
use rten_vecmath::Tanh;
use serde::Deserialize;

use super::gelu::gelu;
use super::level::{Arch, Op};
use super::matrix::{Input, Matrix, Sums, Weights};
use super::norm::LayerNorm;
use super::quantize::{Quantized, Scale};
use super::threads::{Shared, Threads};
use super::vector::{load, map};
use super::{Rows, rows_mut};

thread_local! {
    // Taken while in use, since a thread that waits for others may work on another op meanwhile.
    static SUMS: Cell<Sums> = Cell::default();
    static QUANTIZED: Cell<Quantized> = Cell::default();
}

/// Rows that are computed at a time: those of a whole batch of the queue, so that each panel is read
/// once for it.
pub const ROWS: usize = 128;

/// What is applied to each element of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// Nothing.
    #[default]
    #[serde(skip)]
    None,
    /// The exact GELU, with erf (Hendrycks and Gimpel, arXiv:1606.08415).
    Gelu,
    /// The larger of the element and 0.
    Relu,
    /// The hyperbolic tangent, of classification heads.
    #[serde(skip)]
    Tanh,
}

/// `activation(x W + b)`: `[rows, inputs]` to `[rows, outputs]`.
pub struct Linear {
    matrix: Matrix,
    /// Filled up to whole panels.
    bias: Vec<f32>,
    activation: Activation,
}

/// `norm(x W + b + residual)`: `[rows, inputs]` and a residual of `[rows, outputs]` to
/// `[rows, outputs]`.
pub struct ResidualLinear {
    linear: Linear,
    norm: LayerNorm,
}

/// An op with the threads it may use, for [`candle_core::Tensor::inplace_op2`] and
/// [`inplace_op3`](candle_core::Tensor::inplace_op3).
pub struct On<'a, T> {
    op: &'a T,
    threads: Threads<'a>,
}

impl Linear {
    /// Takes a packed matrix and the bias of each of its outputs.
    pub fn new(matrix: Matrix, mut bias: Vec<f32>, activation: Activation) -> Self {
        assert_eq!(bias.len(), matrix.outputs);
        bias.resize(matrix.panels() * matrix.columns, 0.0);
        Linear { matrix, bias, activation }
    }

    /// This op on `threads`; its tensors are the result and `x`.
    pub fn on<'a>(&'a self, threads: Threads<'a>) -> On<'a, Self> {
        On { op: self, threads }
    }

    /// Writes `[x.rows, outputs]` to `out`.
    fn forward(
        &self,
        threads: Threads<'_>,
        x: Rows<'_>,
        residual: Option<Rows<'_>>,
        out: &mut [f32],
    ) -> CandleResult<()> {
        let matrix = &self.matrix;
        let residual_fits = residual.is_none_or(|it| it.rows == x.rows && it.columns == matrix.outputs);
        if x.columns != matrix.inputs || out.len() != x.rows * matrix.outputs || !residual_fits {
            bail!("linear: {} inputs to {} outputs do not fit the shapes", matrix.inputs, matrix.outputs);
        }
        if x.rows == 0 {
            return Ok(());
        }
        let shared = Shared::new(out);
        match &matrix.weights {
            Weights::F32(_) => threads.split(matrix.panels(), |panels| {
                self.multiply(panels, &Input::F32(x), x.rows, residual, &shared);
            }),
            Weights::Int8 { .. } => {
                let mut activations = QUANTIZED.take();
                activations.fill(matrix.level, threads, x);
                let input = Input::Int8 { activations: &activations, rows: 0..x.rows };
                threads.split(matrix.panels(), |panels| self.multiply(panels, &input, x.rows, residual, &shared));
                QUANTIZED.set(activations);
            }
        }
        if self.activation == Activation::Tanh {
            matrix.level.run(TanhOf(out));
        }
        Ok(())
    }

    /// The columns of `panels`, from the product to the finished result.
    fn multiply(
        &self,
        panels: Range<usize>,
        input: &Input<'_>,
        rows: usize,
        residual: Option<Rows<'_>>,
        out: &Shared<'_, f32>,
    ) {
        let matrix = &self.matrix;
        let mut sums = SUMS.take();
        for start in (0..rows).step_by(ROWS) {
            let rows = start..rows.min(start + ROWS);
            let input = input.narrow(rows.clone());
            for panel in panels.clone() {
                matrix.multiply(panel, &input, &mut sums);
                // While the sums are still in the cache.
                let rows = rows.clone();
                matrix.level.run(Finish { linear: self, panel, input: &input, sums: &sums, rows, residual, out });
            }
        }
        SUMS.set(sums);
    }
}

impl ResidualLinear {
    /// Takes a packed matrix, the bias of each of its outputs, and the norm that follows.
    pub fn new(matrix: Matrix, bias: Vec<f32>, norm: LayerNorm) -> Self {
        assert_eq!(norm.weight.len(), matrix.outputs);
        assert_eq!(norm.bias.len(), matrix.outputs);
        ResidualLinear { linear: Linear::new(matrix, bias, Activation::None), norm }
    }

    /// This op on `threads`; its tensors are the result, `x` and the residual.
    pub fn on<'a>(&'a self, threads: Threads<'a>) -> On<'a, Self> {
        On { op: self, threads }
    }
}

impl InplaceOp2 for On<'_, Linear> {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, out: &mut CpuStorage, to: &Layout, x: &CpuStorage, from: &Layout) -> CandleResult<()> {
        let (out, _) = rows_mut(out, to)?;
        self.op.forward(self.threads, Rows::of(x, from)?, None, out)
    }
}

impl InplaceOp3 for On<'_, ResidualLinear> {
    fn name(&self) -> &'static str {
        "residual-linear"
    }

    fn cpu_fwd(
        &self,
        out: &mut CpuStorage,
        to: &Layout,
        x: &CpuStorage,
        from: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
    ) -> CandleResult<()> {
        let (out, columns) = rows_mut(out, to)?;
        let ResidualLinear { linear, norm } = self.op;
        linear.forward(self.threads, Rows::of(x, from)?, Some(Rows::of(residual, residual_layout)?), out)?;
        let rows = out.len() / columns;
        let out = Shared::new(out);
        self.threads.split(rows, |rows| {
            // SAFETY: the ranges of rows that `split` gives do not overlap.
            let rows = unsafe { out.slice_mut(rows.start * columns, rows.len() * columns) };
            norm.normalize(linear.matrix.level, rows);
        });
        Ok(())
    }
}

/// The hyperbolic tangent of each element.
struct TanhOf<'a>(&'a mut [f32]);

impl Op for TanhOf<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<A: Arch, const R: usize>(self, arch: A) {
        let isa = arch.isa();
        map(
            isa,
            self.0,
            #[inline(always)]
            |_, x| Tanh {}.eval(isa, x),
        );
    }
}

/// From the sums of one panel to the result: scale, bias, residual, activation.
struct Finish<'a> {
    linear: &'a Linear,
    panel: usize,
    input: &'a Input<'a>,
    sums: &'a Sums,
    /// Those of the result.
    rows: Range<usize>,
    residual: Option<Rows<'a>>,
    out: &'a Shared<'a, f32>,
}

impl Op for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<A: Arch, const R: usize>(self, arch: A) {
        let Finish { linear, input, sums, .. } = self;
        let isa = arch.isa();
        let (ops, int_ops) = (isa.f32(), isa.i32());
        let lanes = ops.len();
        let width = linear.matrix.columns;
        let start = self.panel * width;
        match (&linear.matrix.weights, input) {
            (Weights::Int8 { scales, sums: totals, .. }, Input::Int8 { activations, rows }) => {
                let row_scales = &activations.scales[rows.clone()];
                // Every activation is `zero` too large, which adds `zero` times the sum of the weights.
                self.each::<A, R, _>(
                    arch,
                    #[inline(always)]
                    |at| (ops.load(&scales[start + at..]), int_ops.to_float(int_ops.load(&totals[start + at..]))),
                    #[inline(always)]
                    |row, at, columns| {
                        let sums = &sums.int8[row * width + at..][..R * lanes];
                        let Scale { scale, zero } = row_scales[row];
                        let (step, excess) = (ops.splat(scale), ops.splat(-(zero as f32)));
                        let mut x = [ops.zero(); R];
                        for (index, (bias, (scale, total))) in columns.iter().enumerate() {
                            let sum = int_ops.to_float(int_ops.load(&sums[index * lanes..]));
                            let sum = ops.mul_add(*total, excess, sum);
                            x[index] = ops.mul_add(sum, ops.mul(*scale, step), *bias);
                        }
                        x
                    },
                );
            }
            _ => self.each::<A, R, _>(
                arch,
                #[inline(always)]
                |_| (),
                #[inline(always)]
                |row, at, columns| {
                    let sums = &sums.f32[row * width + at..][..R * lanes];
                    let mut x = [ops.zero(); R];
                    for (index, (bias, ())) in columns.iter().enumerate() {
                        x[index] = ops.add(ops.load(&sums[index * lanes..]), *bias);
                    }
                    x
                },
            ),
        }
    }
}

/// A vector of the bias, and what else is the same for all rows.
type Column<A, C> = (<<A as Arch>::Isa as Isa>::F32, C);

impl Finish<'_> {
    /// Finishes the panel, row by row: `column(at)` prepares the columns from `at` on, once, and
    /// `product(row, at, prepared)` gives what is there in a row, counted from the first of `rows`.
    #[inline(always)]
    fn each<A: Arch, const R: usize, C: Copy>(
        &self,
        arch: A,
        column: impl Fn(usize) -> C,
        product: impl Fn(usize, usize, &[Column<A, C>; R]) -> [<A::Isa as Isa>::F32; R],
    ) {
        let isa = arch.isa();
        let ops = isa.f32();
        let lanes = ops.len();
        let Linear { matrix, bias, activation } = self.linear;
        let start = self.panel * matrix.columns;
        let columns = matrix.columns.min(matrix.outputs - start);
        // A panel of rten-gemm is wider than the registers that a tile has for a row.
        for strip in (0..columns).step_by(R * lanes) {
            let prepared: [_; R] = std::array::from_fn(
                #[inline(always)]
                |index| {
                    let at = strip + index * lanes;
                    (ops.load(&bias[start + at..]), column(at))
                },
            );
            let width = (columns - strip).min(R * lanes);
            for (index, row) in self.rows.clone().enumerate() {
                let mut x = product(index, strip, &prepared);
                // SAFETY: each panel's columns are written by one thread, and no slice outlives its turn.
                let out = unsafe { self.out.slice_mut(row * matrix.outputs + start + strip, width) };
                let residual = self.residual.map(
                    #[inline(always)]
                    |residual| &residual.row(row)[start + strip..][..width],
                );
                let whole = width == R * lanes;
                for (index, x) in x.iter_mut().enumerate() {
                    let from = index * lanes;
                    if let Some(residual) = residual {
                        let residual = if whole {
                            ops.load(&residual[from..])
                        } else {
                            load(isa, residual.get(from..).unwrap_or_default())
                        };
                        *x = ops.add(*x, residual);
                    }
                    *x = match activation {
                        Activation::None => *x,
                        Activation::Gelu => gelu(isa, *x),
                        Activation::Relu => ops.max(*x, ops.zero()),
                        // Seldom, of few rows, and so much code that the loop would suffer: see `forward`.
                        Activation::Tanh => *x,
                    };
                }
                if whole {
                    for (index, x) in x.iter().enumerate() {
                        ops.store(*x, &mut out[index * lanes..]);
                    }
                } else {
                    for (x, place) in x.iter().zip(out.chunks_mut(lanes)) {
                        // SAFETY: the mask leaves out what is beyond the slice.
                        unsafe { ops.store_ptr_mask(*x, place.as_mut_ptr(), ops.first_n_mask(place.len())) };
                    }
                }
            }
        }
    }
}
