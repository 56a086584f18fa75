//! Word and position vectors.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, bail};

use super::level::{Arch, Level, Op};
use super::norm::LayerNorm;
use super::rows_mut;
use crate::model::weights::MappedTensor;

/// The input of the first block: the sum of a token's and its position's vector, normalized.
pub struct Embeddings {
    /// By token id, `[vocabulary, dim]`; stays in its file, of which a text touches a few rows only.
    pub words: MappedTensor,
    /// By place in the sequence.
    pub positions: Positions,
    /// Applied to the sum.
    pub norm: LayerNorm,
}

/// Position vectors.
pub struct Positions {
    /// `[positions, dim]`.
    pub vectors: Vec<f32>,
    /// The token that stands for padding, if positions are counted as RoBERTa does: those of other
    /// tokens from the one behind it on, and wherever it stands itself, its own.
    pub padding: Option<u32>,
}

impl Positions {
    /// The row of each of `ids`.
    fn rows(&self, ids: &[u32]) -> impl Iterator<Item = usize> {
        let mut next = self.padding.map_or(0, |padding| padding as usize + 1);
        ids.iter().map(move |&id| {
            if self.padding == Some(id) {
                return id as usize;
            }
            next += 1;
            next - 1
        })
    }
}

/// Writes the embeddings of `sequences`, one after the other, to a tensor of shape `[tokens, dim]`.
pub struct Embed<'a> {
    /// The vectors.
    pub embeddings: &'a Embeddings,
    /// The instructions to use.
    pub level: Level,
    /// Token ids.
    pub sequences: &'a [&'a [u32]],
}

impl InplaceOp1 for Embed<'_> {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn cpu_fwd(&self, out: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (out, dim) = rows_mut(out, layout)?;
        let Embeddings { words, positions, norm } = self.embeddings;
        if self.sequences.iter().map(|sequence| sequence.len()).sum::<usize>() * dim != out.len() {
            bail!("embed: {} elements do not hold the sequences", out.len());
        }
        let mut rows = out.chunks_exact_mut(dim);
        for sequence in self.sequences {
            for (&id, position) in sequence.iter().zip(positions.rows(sequence)) {
                let (Some(row), true) = (rows.next(), words.has_row(id as usize)) else {
                    bail!("embed: there is no token {id}");
                };
                let Some(position) = positions.vectors.get(position * dim..(position + 1) * dim) else {
                    bail!("embed: {} tokens are more than there are positions", sequence.len());
                };
                words.read_row(id as usize, row);
                self.level.run(Add { to: row, summand: position });
            }
        }
        norm.normalize(self.level, out);
        Ok(())
    }
}

/// Adds one vector to another.
struct Add<'a> {
    to: &'a mut [f32],
    summand: &'a [f32],
}

impl Op for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<A: Arch, const R: usize>(self, _: A) {
        for (to, summand) in self.to.iter_mut().zip(self.summand) {
            *to += summand;
        }
    }
}
