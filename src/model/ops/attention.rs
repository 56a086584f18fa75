//! Scaled dot-product attention with several heads (Vaswani et al., arXiv:1706.03762) over
//! sequences of any lengths, without padding.

use std::cell::Cell;
use std::ops::Range;

use candle_core::{CpuStorage, InplaceOp3, Layout, Result, bail};
use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdUnaryOp};
use rten_vecmath::Exp;

use super::gemm::MultiplyF32;
use super::level::{Arch, Level, Op};
use super::threads::{Shared, Threads};
use super::vector::{map, max, sum};
use super::{Rows, rows_mut};

thread_local! {
    // Taken while in use, since a thread that waits for others may work on another op meanwhile.
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// Memory of one head, kept from one use to the next.
#[derive(Default)]
struct Scratch {
    /// The transposed keys, then the values, as one panel after the other.
    panel: Vec<f32>,
    /// `[queries][tokens, filled up]`.
    weights: Vec<f32>,
    /// `[queries][columns]`.
    sums: Vec<f32>,
}

/// Attention of each sequence's queries to all of its tokens.
///
/// Its tensors are the result, of shape `[queries, dim]`; the queries, likewise; and keys and
/// values side by side, `[tokens, 2 dim]`. The sequences follow one another without gaps.
pub struct Attention<'a> {
    /// The instructions to use.
    pub level: Level,
    /// Threads over which heads and sequences are split.
    pub threads: Threads<'a>,
    /// Number of heads, a divisor of dim.
    pub heads: usize,
    /// For each sequence its rows among the queries, and those among the tokens.
    pub sequences: &'a [(Range<usize>, Range<usize>)],
}

impl InplaceOp3 for Attention<'_> {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        out: &mut CpuStorage,
        to: &Layout,
        queries: &CpuStorage,
        queries_layout: &Layout,
        keys_values: &CpuStorage,
        keys_values_layout: &Layout,
    ) -> Result<()> {
        let (out, dim) = rows_mut(out, to)?;
        let queries = Rows::of(queries, queries_layout)?;
        let keys_values = Rows::of(keys_values, keys_values_layout)?;
        // Each row of the result must be one sequence's, since several threads write it.
        let mut end = 0;
        let follows = self.sequences.iter().all(|(of_queries, tokens)| {
            let starts = std::mem::replace(&mut end, of_queries.end) == of_queries.start;
            starts && of_queries.start <= of_queries.end && tokens.end <= keys_values.rows
        });
        if !follows
            || end > queries.rows
            || queries.columns != dim
            || keys_values.columns != 2 * dim
            || queries.rows * dim != out.len()
            || self.heads == 0
            || !dim.is_multiple_of(self.heads)
        {
            bail!("attention: the shapes do not fit");
        }
        let out = Shared::new(out);
        self.threads.split(self.sequences.len() * self.heads, |items| {
            let mut scratch = SCRATCH.take();
            for item in items {
                let (queries_of, tokens) = &self.sequences[item / self.heads];
                let head = Head {
                    queries,
                    keys_values,
                    head: item % self.heads,
                    size: dim / self.heads,
                    queries_of: queries_of.clone(),
                    tokens: tokens.clone(),
                };
                head.attend(self.level, &mut scratch, &out);
            }
            SCRATCH.set(scratch);
        });
        Ok(())
    }
}

/// One head of one sequence.
struct Head<'a> {
    queries: Rows<'a>,
    keys_values: Rows<'a>,
    head: usize,
    /// Elements of the head.
    size: usize,
    queries_of: Range<usize>,
    tokens: Range<usize>,
}

impl Head<'_> {
    fn attend(&self, level: Level, scratch: &mut Scratch, out: &Shared<'_, f32>) {
        let columns = level.panel_columns();
        let (rows, tokens) = (self.queries_of.len(), self.tokens.len());
        if rows == 0 || tokens == 0 {
            return;
        }
        let wide = tokens.next_multiple_of(columns);
        let Scratch { panel, weights, sums } = scratch;
        panel.resize((columns * tokens.max(self.size)).max(panel.len()), 0.0);
        weights.resize((rows * wide).max(weights.len()), 0.0);
        sums.resize((rows * columns).max(sums.len()), 0.0);

        let queries = &self.queries.narrow(self.head * self.size, self.size);
        let queries_data = &queries.data[self.queries_of.start * queries.stride..];
        for start in (0..tokens).step_by(columns) {
            let width = columns.min(tokens - start);
            self.transpose_keys(start, width, columns, panel);
            let product = MultiplyF32 {
                a: queries_data,
                stride: queries.stride,
                rows,
                depth: self.size,
                panel,
                weights: false,
                sums,
            };
            level.multiply_f32(product);
            for (weights, sums) in weights.chunks_exact_mut(wide).zip(sums.chunks_exact(columns)).take(rows) {
                weights[start..][..width].copy_from_slice(&sums[..width]);
            }
        }
        level.run(SoftmaxRows { rows: &mut weights[..rows * wide], wide, tokens });
        let dim = self.queries.columns;
        for start in (0..self.size).step_by(columns) {
            let width = columns.min(self.size - start);
            self.copy_values(start, width, columns, panel);
            level.multiply_f32(MultiplyF32 {
                a: weights,
                stride: wide,
                rows,
                depth: tokens,
                panel,
                weights: false,
                sums,
            });
            for (row, sums) in self.queries_of.clone().zip(sums.chunks_exact(columns)) {
                // SAFETY: each sequence's rows and each head's columns are written by one thread.
                let out = unsafe { out.slice_mut(row * dim + self.head * self.size + start, width) };
                out.copy_from_slice(&sums[..width]);
            }
        }
    }

    /// Writes the keys of `width` tokens as `[size][columns]`, divided by the square root of the
    /// head's size.
    fn transpose_keys(&self, start: usize, width: usize, columns: usize, panel: &mut [f32]) {
        let scale = (self.size as f32).sqrt().recip();
        let keys = self.keys_values.narrow(self.head * self.size, self.size);
        let panel = &mut panel[..self.size * columns];
        for column in 0..width {
            let key = keys.row(self.tokens.start + start + column);
            for (element, x) in key.iter().enumerate() {
                // SAFETY: `element` is below `size`, and `column` below `columns`. Checked, this loop would
                // take half of the time of attention.
                unsafe { *panel.get_unchecked_mut(element * columns + column) = x * scale };
            }
        }
    }

    /// Writes `width` columns of the values as `[tokens][columns]`.
    fn copy_values(&self, start: usize, width: usize, columns: usize, panel: &mut [f32]) {
        let values = self.keys_values.narrow(self.queries.columns + self.head * self.size + start, width);
        for (token, place) in self.tokens.clone().zip(panel.chunks_exact_mut(columns)) {
            place[..width].copy_from_slice(values.row(token));
        }
    }
}

/// Softmax over the first `tokens` elements of each row.
struct SoftmaxRows<'a> {
    rows: &'a mut [f32],
    wide: usize,
    tokens: usize,
}

impl Op for SoftmaxRows<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<A: Arch, const R: usize>(self, arch: A) {
        let isa = arch.isa();
        let ops = isa.f32();
        for row in self.rows.chunks_exact_mut(self.wide) {
            let row = &mut row[..self.tokens];
            let most = ops.splat(max(isa, row));
            map(
                isa,
                row,
                #[inline(always)]
                |_, x| Exp {}.eval(isa, ops.sub(x, most)),
            );
            let factor = ops.splat(sum(isa, row).recip());
            map(
                isa,
                row,
                #[inline(always)]
                |_, x| ops.mul(x, factor),
            );
        }
    }
}
