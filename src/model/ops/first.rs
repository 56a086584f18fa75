//! Attention of first tokens alone, without keys and values of all the others.
//!
//! A head's score of a token `x`, `q · (K x + k)`, is `(Kᵀ q) · x` and a number that is the same for every
//! token, which softmax does not see. Its weights add up to 1, so that what it makes of the values, the sum
//! of `weight (V x + v)`, is `V` times the sum of `weight x`, plus `v`. One query thus takes two vectors, where keys and
//! values take two products for each token. So are weights "absorbed" in DeepSeek-AI, "DeepSeek-V2"
//! (arXiv:2405.04434), section 2.1.2.

use std::cell::Cell;
use std::ops::Range;

use candle_core::{CpuStorage, InplaceOp3, Layout, Result, bail};
use rten_simd::Isa;
use rten_simd::ops::{BitOps, NumOps};

use super::attention::softmax;
use super::buffer::{Buffer, Scratch};
use super::level::{Arch, Level, Op};
use super::threads::{Shared, Threads};
use super::vector::{dots, map, weighted_sum};
use super::{Rows, rows_mut};

thread_local! {
    // Taken while in use, since a thread that waits for others may work on another op meanwhile.
    static MEMORY: Cell<Memory> = Cell::default();
}

/// Memory of one head, kept from one use to the next.
#[derive(Default)]
struct Memory {
    /// `[dim]`: what a token is multiplied with for its score.
    probe: Scratch<f32>,
    /// `[tokens]`: attention's weights.
    weights: Scratch<f32>,
    /// `[dim]`: the weighted sum of the tokens.
    mean: Scratch<f32>,
}

/// Keys and values of a last block.
pub struct FirstAttention {
    /// The instructions to use.
    pub level: Level,
    /// Number of heads, a divisor of dim.
    pub heads: usize,
    /// `[dim, dim]`, a row for each output, as files have it.
    pub key: Buffer<f32>,
    /// Likewise.
    pub value: Buffer<f32>,
    /// Of the values, `[dim]`. That of keys has no effect.
    pub value_bias: Vec<f32>,
}

impl FirstAttention {
    /// This op for `sequences`, rows of tokens; its tensors are the result and the queries,
    /// `[sequences, dim]`, and the tokens' vectors before keys and values, `[tokens, dim]`.
    pub fn on<'a>(&'a self, sequences: &'a [Range<usize>], threads: Threads<'a>) -> Attend<'a> {
        Attend { op: self, sequences, threads }
    }
}

/// [`FirstAttention`] for some sequences, for [`candle_core::Tensor::inplace_op3`].
pub struct Attend<'a> {
    op: &'a FirstAttention,
    sequences: &'a [Range<usize>],
    threads: Threads<'a>,
}

impl InplaceOp3 for Attend<'_> {
    fn name(&self) -> &'static str {
        "first-attention"
    }

    fn cpu_fwd(
        &self,
        out: &mut CpuStorage,
        to: &Layout,
        queries: &CpuStorage,
        queries_layout: &Layout,
        tokens: &CpuStorage,
        tokens_layout: &Layout,
    ) -> Result<()> {
        let Attend { op, sequences, threads } = *self;
        let (out, dim) = rows_mut(out, to)?;
        let (queries, tokens) = (Rows::of(queries, queries_layout)?, Rows::of(tokens, tokens_layout)?);
        let count = sequences.len();
        let inside = sequences.iter().all(|sequence| sequence.start < sequence.end && sequence.end <= tokens.rows);
        let fits = [queries.columns, tokens.columns, op.value_bias.len()].iter().all(|&columns| columns == dim)
            && [op.key.len(), op.value.len()].iter().all(|&length| length == dim * dim)
            && out.len() == count * dim
            && queries.rows == count;
        if !fits || !inside || op.heads == 0 || !dim.is_multiple_of(op.heads) {
            bail!("attention of first tokens: the shapes do not fit");
        }
        let size = dim / op.heads;
        let out = Shared::new(out);
        // One head after the other, so that its weights are still in the cache for the next sequence.
        threads.split(op.heads * count, |items| {
            let mut memory = MEMORY.take();
            for item in items {
                let (sequence, columns) = (item % count, item / count * size..(item / count + 1) * size);
                op.level.run(Head {
                    query: &queries.row(sequence)[columns.clone()],
                    tokens: tokens.rows(sequences[sequence].clone()),
                    key: Rows::new(&op.key, dim).rows(columns.clone()),
                    value: Rows::new(&op.value, dim).rows(columns.clone()),
                    bias: &op.value_bias[columns.clone()],
                    memory: &mut memory,
                    // SAFETY: no other item has this head of this sequence.
                    out: unsafe { out.slice_mut(sequence * dim + columns.start, size) },
                });
            }
            MEMORY.set(memory);
        });
        Ok(())
    }
}

/// One head of one sequence.
struct Head<'a> {
    query: &'a [f32],
    tokens: Rows<'a>,
    key: Rows<'a>,
    value: Rows<'a>,
    bias: &'a [f32],
    memory: &'a mut Memory,
    out: &'a mut [f32],
}

impl Op for Head<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<A: Arch, const R: usize>(self, arch: A) {
        let Head { query, tokens, key, value, bias, memory, out } = self;
        let isa = arch.isa();
        let ops = isa.f32();
        let dim = tokens.columns;
        memory.probe.grow(dim);
        memory.mean.grow(dim);
        memory.weights.grow(tokens.rows);
        let (probe, mean) = (&mut memory.probe[..dim], &mut memory.mean[..dim]);
        let weights = &mut memory.weights[..tokens.rows];

        let scale = ops.splat((query.len() as f32).sqrt().recip());
        weighted_sum(isa, query, key, probe);
        dots(isa, probe, tokens, weights);
        map(
            isa,
            weights,
            #[inline(always)]
            |_, score| ops.mul(score, scale),
        );
        softmax(isa, weights);
        weighted_sum(isa, weights, tokens, mean);
        dots(isa, mean, value, out);
        out.iter_mut().zip(bias).for_each(
            #[inline(always)]
            |(x, bias)| *x += bias,
        );
    }
}
