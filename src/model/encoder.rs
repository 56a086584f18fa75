//! The encoder of BERT and its relatives, with a sequence classification head.
//!
//! The architecture is that of Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for
//! Language Understanding" (arXiv:1810.04805), and the arithmetic that of the `…ForSequenceClassification`
//! classes in Python `transformers`: erf GELU (Hendrycks and Gimpel, arXiv:1606.08415), layer norm after
//! each residual, and a head of two linear layers on the first token. What differs between the families
//! is in their [`Architecture`].
//!
//! candle holds the graph; the arithmetic is that of [`super::ops`]. Sequences follow one another in
//! one matrix of tokens, without padding or mask.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result as CandleResult, Tensor};

use super::network::{Network, Plan, check_sizes};
use super::ops::attention::Attention;
use super::ops::buffer::{Arena, Buffer, LINE};
use super::ops::embedding::{Embed, Embeddings, Positions};
use super::ops::first::FirstAttention;
use super::ops::level::Level;
use super::ops::linear::{Activation, Linear, ROWS, ResidualLinear};
use super::ops::matrix::Matrix;
use super::ops::norm::LayerNorm;
use super::ops::threads::Threads;
use super::weights::{MappedTensor, Weights};
use crate::config::Precision;
use crate::error::{Error, Result};

/// What distinguishes one model of these families from another.
#[derive(Clone, Debug)]
pub struct Architecture {
    /// Rows of the table of word vectors.
    pub vocabulary: usize,
    /// Rows of the table of positions.
    pub positions: usize,
    /// The token that stands for padding, where positions are counted from the one behind it and it
    /// has one of its own, as in RoBERTa; `None` where they are counted from 0.
    pub padding: Option<u32>,
    /// Rows of the table of token types, of which the first is added to every token; 0 for no table.
    pub token_types: usize,
    /// Elements of a row of these tables; other than `dim`, they are projected to it.
    pub embedding: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of attention's heads, a divisor of `dim`.
    pub heads: usize,
    /// Elements of the vectors between the blocks.
    pub dim: usize,
    /// Elements of the vectors within the feed-forward networks.
    pub hidden_dim: usize,
    /// Of the feed-forward networks.
    pub activation: Activation,
    /// Added to the variance in layer norms.
    pub epsilon: f32,
    /// Of the first layer of the head.
    pub head: Activation,
    /// Number of labels.
    pub labels: usize,
    /// Where the tensors are.
    pub names: &'static Names,
}

/// Names of a family's tensors, without `.weight` and `.bias`.
#[derive(Debug)]
pub struct Names {
    /// Before the names of the tables: `word_embeddings`, `position_embeddings`, `token_type_embeddings`
    /// and `LayerNorm`.
    pub embeddings: &'static str,
    /// The projection of word vectors, where there is one.
    pub projection: &'static str,
    /// Before the number of a block.
    pub blocks: &'static str,
    /// Within a block: attention's queries, keys and values.
    pub query_key_value: [&'static str; 3],
    /// Attention's output and the norm that follows.
    pub output: [&'static str; 2],
    /// The feed-forward network's layers and the norm that follows.
    pub feed_forward: [&'static str; 3],
    /// The layers of the head.
    pub head: [&'static str; 2],
}

impl Architecture {
    /// The most memory that the packed weights take, if the sizes are those of files of
    /// `file_bytes`; else enough to find out which tensor is missing.
    fn weight_bytes(&self, precision: Precision, file_bytes: usize) -> usize {
        let Architecture { dim, hidden_dim, layers, embedding, .. } = *self;
        let [square, lin1, lin2] = [(dim, dim), (dim, hidden_dim), (hidden_dim, dim)]
            .map(|(inputs, outputs)| Matrix::most_bytes(precision, inputs, outputs));
        let head = [dim, self.labels].map(|outputs| Matrix::most_bytes(Precision::F32, dim, outputs));
        let projection = if embedding == dim { 0 } else { Matrix::most_bytes(Precision::F32, embedding, dim) };
        let blocks = layers.saturating_mul(4 * square + lin1 + lin2);
        // Keys and values of the last block.
        let first = 2 * Matrix::most_bytes(Precision::F32, dim, dim);
        blocks.saturating_add(first + projection + head.iter().sum::<usize>()).min(16 * file_bytes + (64 << 20))
    }
}

impl Plan for Architecture {
    fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    fn max_tokens(&self) -> usize {
        self.positions.saturating_sub(self.padding.map_or(0, |padding| padding as usize + 1))
    }

    fn check(&self) -> std::result::Result<(), String> {
        let sizes = [
            ("the size of the vocabulary", self.vocabulary),
            ("the number of positions", self.positions),
            ("the number of layers", self.layers),
            ("the size of the feed-forward vectors", self.hidden_dim),
            ("the size of the embeddings", self.embedding),
            ("the number of token types", self.token_types.saturating_add(1)),
        ];
        check_sizes(&sizes, self.dim, self.heads)
    }

    fn load(&self, weights: &Weights, precision: Precision) -> Result<Box<dyn Network>> {
        Ok(Box::new(Encoder::load(self, weights, precision, Level::best())?))
    }
}

/// The network.
pub struct Encoder {
    level: Level,
    sizes: Sizes,
    embeddings: Embeddings,
    projection: Option<Linear>,
    blocks: Vec<Block>,
    last: LastBlock,
    head: [Linear; 2],
    /// Those that no forward pass is using.
    workspaces: Mutex<Vec<Workspace>>,
}

#[derive(Clone, Copy)]
struct Sizes {
    embedding: usize,
    dim: usize,
    hidden_dim: usize,
    heads: usize,
    labels: usize,
}

impl Encoder {
    /// Takes the tensors out of `weights` and packs them for `level`; the threads of the pool that
    /// this is called in share the work.
    ///
    /// # Errors
    /// [`Error::ModelInvalid`] for a missing tensor, another shape than `architecture` says, or an
    /// int8 weight that is not finite.
    pub fn load(architecture: &Architecture, weights: &Weights, precision: Precision, level: Level) -> Result<Self> {
        let Architecture { dim, hidden_dim, heads, embedding, labels, names, .. } = *architecture;
        let last = architecture.layers - 1;
        let loader = Loader {
            arena: &Arena::new(architecture.weight_bytes(precision, weights.file_bytes()))?,
            architecture,
            level,
            precision,
        };
        // What is small, and where an error shows at once, stays in f32.
        let exact = Loader { precision: Precision::F32, ..loader };
        let tables = weights.at(names.embeddings);
        let words = tables.at("word_embeddings").map("weight", &[architecture.vocabulary, embedding])?;
        let mut positions = tables.at("position_embeddings").read("weight", &[architecture.positions, embedding])?;
        if architecture.token_types > 0 {
            let types = tables.at("token_type_embeddings").read("weight", &[architecture.token_types, embedding])?;
            // A lone text is of the first type.
            for row in positions.chunks_exact_mut(embedding) {
                row.iter_mut().zip(&types).for_each(|(position, of_type)| *position += of_type);
            }
        }
        let embeddings = Embeddings {
            words,
            positions: Positions { vectors: positions, padding: architecture.padding },
            norm: loader.norm(&tables.at("LayerNorm"), embedding)?,
        };
        let projection = (embedding != dim)
            .then(|| exact.linear(&[weights.at(names.projection)], embedding, dim, Activation::None))
            .transpose()?;
        let blocks_at = weights.at(names.blocks);
        // One after the other, so that the weights lie in the order of their use.
        let blocks = (0..last).map(|block| Block::load(&loader, &blocks_at.at(block))).collect::<Result<_>>()?;
        let last = LastBlock::load(&loader, &blocks_at.at(last))?;
        let [dense, classifier] = names.head.map(|name| weights.at(name));
        Ok(Encoder {
            level,
            sizes: Sizes { embedding, dim, hidden_dim, heads, labels },
            embeddings,
            projection,
            blocks,
            last,
            head: [
                exact.linear(&[dense], dim, dim, architecture.head)?,
                exact.linear(&[classifier], dim, labels, Activation::None)?,
            ],
            workspaces: Mutex::default(),
        })
    }

    fn forward_in(
        &self,
        workspace: &Workspace,
        sequences: &[&[u32]],
        tokens: usize,
        threads: Threads<'_>,
    ) -> CandleResult<Vec<Vec<f32>>> {
        let dim = self.sizes.dim;
        let rows: Vec<Range<usize>> = sequences
            .iter()
            .scan(0, |end, sequence| {
                let start = *end;
                *end += sequence.len();
                Some(start..*end)
            })
            .collect();

        let hidden = workspace.hidden.narrow(0, 0, tokens)?;
        let attended = workspace.attended.narrow(0, 0, tokens)?;
        let context = workspace.context.narrow(0, 0, tokens)?;
        let projected = workspace.projected.narrow(0, 0, tokens)?;
        let queries = projected.narrow(1, 0, dim)?;
        let keys_values = projected.narrow(1, dim, 2 * dim)?;
        let embed = Embed { embeddings: &self.embeddings, level: self.level, sequences };
        match &self.projection {
            None => hidden.inplace_op1(&embed)?,
            Some(projection) => {
                let narrow = Tensor::zeros((tokens, self.sizes.embedding), DType::F32, &Device::Cpu)?;
                narrow.inplace_op1(&embed)?;
                hidden.inplace_op2(&narrow, &projection.on(threads))?;
            }
        }
        let attention = Attention { level: self.level, threads, heads: self.sizes.heads, sequences: &rows };
        for block in &self.blocks {
            projected.inplace_op2(&hidden, &block.query_key_value.on(threads))?;
            context.inplace_op3(&queries, &keys_values, &attention)?;
            attended.inplace_op3(&context, &hidden, &block.output.on(threads))?;
            block.feed_forward.forward(&attended, &hidden, &workspace.inner, threads)?;
        }

        // The head sees the first token alone, and so the last block computes no other.
        let starts: Vec<u32> = rows.iter().map(|tokens| tokens.start as u32).collect();
        let count = starts.len();
        let first = hidden.index_select(&Tensor::new(starts, &Device::Cpu)?, 0)?;
        let queries = workspace.attended.narrow(0, 0, count)?;
        let context = workspace.context.narrow(0, 0, count)?;
        queries.inplace_op2(&first, &self.last.query.on(threads))?;
        context.inplace_op3(&queries, &hidden, &self.last.attention.on(&rows, threads))?;
        // In the place of the queries, which are spent.
        let attended = queries;
        attended.inplace_op3(&context, &first, &self.last.output.on(threads))?;
        self.last.feed_forward.forward(&attended, &first, &workspace.inner, threads)?;

        let [dense, classifier] = &self.head;
        context.inplace_op2(&first, &dense.on(threads))?;
        let logits = workspace.logits.narrow(0, 0, count)?;
        logits.inplace_op2(&context, &classifier.on(threads))?;
        logits.to_vec2()
    }

    fn workspaces(&self) -> MutexGuard<'_, Vec<Workspace>> {
        // Nothing panics while it holds the lock.
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Network for Encoder {
    fn forward(&self, sequences: &[&[u32]], threads: Threads<'_>) -> CandleResult<Vec<Vec<f32>>> {
        let tokens = sequences.iter().map(|sequence| sequence.len()).sum();
        let free = self.workspaces().pop();
        let workspace = match free.filter(|free| free.holds(tokens, sequences.len())) {
            Some(free) => free,
            None => Workspace::new(tokens, sequences.len(), self.sizes)?,
        };
        let logits = self.forward_in(&workspace, sequences, tokens, threads);
        self.workspaces().push(workspace);
        logits
    }
}

/// The tensors that a forward pass writes, kept from one to the next.
struct Workspace {
    /// `[tokens, dim]`: the output of a block.
    hidden: Tensor,
    /// `[tokens, 3 dim]`: queries, keys and values side by side.
    projected: Tensor,
    /// `[tokens, dim]`: what attention gives.
    context: Tensor,
    /// `[tokens, dim]`: after attention's residual and norm.
    attended: Tensor,
    /// `[at most ROWS, hidden_dim]`: between the layers of the feed-forward network.
    inner: Tensor,
    /// `[sequences, labels]`.
    logits: Tensor,
}

impl Workspace {
    /// For as many tokens in as many sequences, and some more.
    fn new(tokens: usize, sequences: usize, sizes: Sizes) -> CandleResult<Self> {
        let Sizes { dim, hidden_dim, labels, .. } = sizes;
        let (tokens, sequences) = (tokens.next_power_of_two(), sequences.next_power_of_two());
        Ok(Workspace {
            hidden: aligned(tokens, dim)?,
            projected: aligned(tokens, 3 * dim)?,
            context: aligned(tokens, dim)?,
            attended: aligned(tokens, dim)?,
            inner: aligned(tokens.min(ROWS), hidden_dim)?,
            logits: aligned(sequences, labels)?,
        })
    }

    fn holds(&self, tokens: usize, sequences: usize) -> bool {
        self.hidden.dims()[0] >= tokens && self.logits.dims()[0] >= sequences
    }
}

/// Zeros, `[rows, columns]`, from the start of a cache line on.
fn aligned(rows: usize, columns: usize) -> CandleResult<Tensor> {
    let zeros = vec![0_f32; rows * columns + LINE / size_of::<f32>()];
    let (start, length) = (zeros.as_ptr().align_offset(LINE), zeros.len());
    Tensor::from_vec(zeros, length, &Device::Cpu)?.narrow(0, start, rows * columns)?.reshape((rows, columns))
}

/// One transformer block.
struct Block {
    query_key_value: Linear,
    output: ResidualLinear,
    feed_forward: FeedForward,
}

impl Block {
    fn load(loader: &Loader<'_>, weights: &Weights) -> Result<Self> {
        let dim = loader.architecture.dim;
        let parts = loader.architecture.names.query_key_value.map(|name| weights.at(name));
        Ok(Block {
            query_key_value: loader.linear(&parts, dim, dim, Activation::None)?,
            output: loader.attention_output(weights)?,
            feed_forward: FeedForward::load(loader, weights)?,
        })
    }
}

/// The last transformer block, whose queries are first tokens alone.
struct LastBlock {
    query: Linear,
    attention: FirstAttention,
    output: ResidualLinear,
    feed_forward: FeedForward,
}

impl LastBlock {
    fn load(loader: &Loader<'_>, weights: &Weights) -> Result<Self> {
        let dim = loader.architecture.dim;
        let [query, key, value] = loader.architecture.names.query_key_value.map(|name| weights.at(name));
        Ok(LastBlock {
            query: loader.linear(&[query], dim, dim, Activation::None)?,
            attention: FirstAttention {
                level: loader.level,
                heads: loader.architecture.heads,
                key: loader.buffer(&key)?,
                value: loader.buffer(&value)?,
                value_bias: value.read("bias", &[dim])?,
            },
            output: loader.attention_output(weights)?,
            feed_forward: FeedForward::load(loader, weights)?,
        })
    }
}

/// The two layers after attention; only [`ROWS`] rows of the wide vectors between them exist at a time.
struct FeedForward {
    lin1: Linear,
    lin2: ResidualLinear,
}

impl FeedForward {
    fn load(loader: &Loader<'_>, weights: &Weights) -> Result<Self> {
        let Architecture { dim, hidden_dim, activation, names, .. } = *loader.architecture;
        let [lin1, lin2, norm] = names.feed_forward.map(|name| weights.at(name));
        let norm = loader.norm(&norm, dim)?;
        Ok(FeedForward {
            lin1: loader.linear(&[lin1], dim, hidden_dim, activation)?,
            lin2: loader.residual_linear(&lin2, hidden_dim, norm)?,
        })
    }

    /// Writes the block's output for the rows of `x` to `out`; `inner` is workspace.
    fn forward(&self, x: &Tensor, out: &Tensor, inner: &Tensor, threads: Threads<'_>) -> CandleResult<()> {
        let (rows, most) = (x.dim(0)?, inner.dim(0)?);
        for start in (0..rows).step_by(most) {
            let count = most.min(rows - start);
            let (x, out, inner) =
                (x.narrow(0, start, count)?, out.narrow(0, start, count)?, inner.narrow(0, 0, count)?);
            inner.inplace_op2(&x, &self.lin1.on(threads))?;
            out.inplace_op3(&inner, &x, &self.lin2.on(threads))?;
        }
        Ok(())
    }
}

/// Makes ops of tensors.
#[derive(Clone, Copy)]
struct Loader<'a> {
    arena: &'a Arc<Arena>,
    architecture: &'a Architecture,
    level: Level,
    precision: Precision,
}

impl Loader<'_> {
    /// A linear layer of one or several stacked side by side, each `[input] -> [output]`.
    fn linear(&self, parts: &[Weights], input: usize, output: usize, activation: Activation) -> Result<Linear> {
        let (matrix, bias) = self.matrix(parts, input, output)?;
        Ok(Linear::new(matrix, bias, activation))
    }

    fn residual_linear(&self, weights: &Weights, input: usize, norm: LayerNorm) -> Result<ResidualLinear> {
        let (matrix, bias) = self.matrix(std::slice::from_ref(weights), input, self.architecture.dim)?;
        Ok(ResidualLinear::new(matrix, bias, norm))
    }

    fn attention_output(&self, block: &Weights) -> Result<ResidualLinear> {
        let dim = self.architecture.dim;
        let [output, norm] = self.architecture.names.output.map(|name| block.at(name));
        let norm = self.norm(&norm, dim)?;
        self.residual_linear(&output, dim, norm)
    }

    /// A square of weights as the file has it, in f32.
    fn buffer(&self, weights: &Weights) -> Result<Buffer<f32>> {
        let dim = self.architecture.dim;
        let tensor = weights.map("weight", &[dim, dim])?;
        let mut buffer = self.arena.take(dim * dim)?;
        buffer.copy_from_slice(&tensor.elements());
        tensor.release();
        Ok(buffer)
    }

    fn matrix(&self, parts: &[Weights], input: usize, output: usize) -> Result<(Matrix, Vec<f32>)> {
        let tensors: Vec<MappedTensor> =
            parts.iter().map(|part| part.map("weight", &[output, input])).collect::<Result<_>>()?;
        let elements: Vec<_> = tensors.iter().map(MappedTensor::elements).collect();
        let blocks: Vec<&[f32]> = elements.iter().map(|elements| &**elements).collect();
        let matrix =
            Matrix::pack(self.arena, self.level, self.precision, input, &blocks).map_err(|error| match error {
                Error::ModelInvalid(found) => parts[0].invalid("weight", &found),
                other => other,
            })?;
        drop(blocks);
        drop(elements);
        tensors.into_iter().for_each(MappedTensor::release);
        let mut bias = Vec::with_capacity(matrix.outputs);
        for part in parts {
            bias.extend(part.read("bias", &[output])?);
        }
        Ok((matrix, bias))
    }

    fn norm(&self, weights: &Weights, dim: usize) -> Result<LayerNorm> {
        // Checkpoints that came from TensorFlow have names of their own.
        let [weight, bias] = if weights.has("weight") { ["weight", "bias"] } else { ["gamma", "beta"] };
        let [weight, bias] = [weights.read(weight, &[dim])?, weights.read(bias, &[dim])?];
        Ok(LayerNorm { weight, bias, epsilon: self.architecture.epsilon })
    }
}
