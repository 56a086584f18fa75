//! Scaled dot-product attention with several heads (Vaswani et al., arXiv:1706.03762) over
//! sequences of any lengths, without padding.

use std::cell::Cell;
use std::ops::Range;

use candle_core::{CpuStorage, InplaceOp3, Layout, Result, bail};
use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdUnaryOp};
use rten_vecmath::Exp;

use super::buffer::Scratch;
use super::gemm::MultiplyF32;
use super::level::{Arch, Level, Op};
use super::threads::{Shared, Threads};
use super::vector::{map, max, sum};
use super::{Rows, rows_mut};

thread_local! {
    // Taken while in use, since a thread that waits for others may work on another op meanwhile.
    static MEMORY: Cell<Memory> = Cell::default();
}

/// Memory of one head, kept from one use to the next.
#[derive(Default)]
struct Memory {
    /// The transposed keys, then the values, as one panel after the other.
    panel: Scratch<f32>,
    /// `[queries][tokens, filled up]`.
    weights: Scratch<f32>,
    /// `[queries][columns]`.
    sums: Scratch<f32>,
}

/// Attention of each of a sequence's tokens to all of them.
///
/// Its tensors are the result, of shape `[tokens, dim]`; the queries, likewise; and keys and
/// values side by side, `[tokens, 2 dim]`. The sequences follow one another without gaps.
pub struct Attention<'a> {
    /// The instructions to use.
    pub level: Level,
    /// Threads over which heads and sequences are split.
    pub threads: Threads<'a>,
    /// Number of heads, a divisor of dim.
    pub heads: usize,
    /// The rows of each sequence.
    pub sequences: &'a [Range<usize>],
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
        let follows = self.sequences.iter().all(|tokens| {
            let starts = std::mem::replace(&mut end, tokens.end) == tokens.start;
            starts && tokens.start <= tokens.end
        });
        if !follows
            || end > queries.rows
            || end > keys_values.rows
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
            let mut memory = MEMORY.take();
            for item in items {
                let head = Head {
                    queries,
                    keys_values,
                    head: item % self.heads,
                    size: dim / self.heads,
                    tokens: self.sequences[item / self.heads].clone(),
                };
                head.attend(self.level, &mut memory, &out);
            }
            MEMORY.set(memory);
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
    tokens: Range<usize>,
}

impl Head<'_> {
    fn attend(&self, level: Level, memory: &mut Memory, out: &Shared<'_, f32>) {
        let columns = level.panel_columns();
        let tokens = self.tokens.len();
        if tokens == 0 {
            return;
        }
        let wide = level.whole_vectors(tokens);
        let Memory { panel, weights, sums } = memory;
        panel.grow(columns * tokens.max(self.size));
        weights.grow(tokens * wide);
        sums.grow(tokens * columns);

        let queries = &self.queries.narrow(self.head * self.size, self.size);
        let queries_data = &queries.data[self.tokens.start * queries.stride..];
        for start in (0..tokens).step_by(columns) {
            let width = columns.min(tokens - start);
            // No more than there are tokens for: log lines are shorter than a panel is wide.
            let columns = level.whole_vectors(width);
            self.transpose_keys(start, width, columns, panel);
            level.multiply_f32(MultiplyF32 {
                a: queries_data,
                stride: queries.stride,
                rows: tokens,
                depth: self.size,
                columns,
                panel,
                weights: false,
                sums,
            });
            for (weights, sums) in weights.chunks_exact_mut(wide).zip(sums.chunks_exact(columns)).take(tokens) {
                weights[start..][..width].copy_from_slice(&sums[..width]);
            }
        }
        level.run(SoftmaxRows { rows: &mut weights[..tokens * wide], wide, tokens });
        let dim = self.queries.columns;
        for start in (0..self.size).step_by(columns) {
            let width = columns.min(self.size - start);
            let columns = level.whole_vectors(width);
            self.copy_values(start, width, columns, panel);
            level.multiply_f32(MultiplyF32 {
                a: weights,
                stride: wide,
                rows: tokens,
                depth: tokens,
                columns,
                panel,
                weights: false,
                sums,
            });
            for (row, sums) in self.tokens.clone().zip(sums.chunks_exact(columns)) {
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
        for row in self.rows.chunks_exact_mut(self.wide) {
            softmax(arch.isa(), &mut row[..self.tokens]);
        }
    }
}

/// Softmax over a row.
#[inline(always)]
pub fn softmax<I: Isa>(isa: I, row: &mut [f32]) {
    let ops = isa.f32();
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
