//! DistilBERT with a sequence classification head.
//!
//! The architecture is that of Sanh et al., "DistilBERT, a distilled version of BERT"
//! (arXiv:1910.01108), and the arithmetic that of `DistilBertForSequenceClassification` in Python
//! `transformers`: erf GELU (Hendrycks and Gimpel, arXiv:1606.08415), layer norm after each
//! residual, and a head of two linear layers on the first token. `candle-transformers` has the
//! encoder alone, with the tanh GELU, so it serves only as a reference in the tests.
//!
//! candle holds the graph; the arithmetic is that of [`super::ops`]. Sequences follow one another in
//! one matrix of tokens, without padding or mask.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use serde::Deserialize;

use super::files::{CONFIG, ModelFiles};
use super::ops::attention::Attention;
use super::ops::buffer::Arena;
use super::ops::embedding::{Embed, Embeddings};
use super::ops::level::Level;
use super::ops::linear::{Activation, Linear, ROWS, ResidualLinear};
use super::ops::matrix::Matrix;
use super::ops::norm::LayerNorm;
use super::ops::threads::Threads;
use super::weights::{MappedTensor, Weights};
use crate::config::Precision;
use crate::error::{Error, Result};

/// `config.json`; absent fields have the defaults of Python's `DistilBertConfig`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct DistilBertConfig {
    model_type: String,
    architectures: Vec<String>,
    activation: Activation,
    id2label: BTreeMap<usize, String>,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    n_layers: usize,
    n_heads: usize,
    dim: usize,
    hidden_dim: usize,
}

impl Default for DistilBertConfig {
    fn default() -> Self {
        DistilBertConfig {
            model_type: String::new(),
            architectures: Vec::new(),
            activation: Activation::Gelu,
            id2label: BTreeMap::new(),
            vocab_size: 30_522,
            max_position_embeddings: 512,
            n_layers: 6,
            n_heads: 12,
            dim: 768,
            hidden_dim: 4 * 768,
        }
    }
}

impl DistilBertConfig {
    /// Reads and checks `config.json`.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] if it is missing, [`Error::ModelInvalid`] naming the field, what
    /// was found and what would be right.
    pub fn read(files: &ModelFiles) -> Result<Self> {
        let bytes = files.require(CONFIG)?;
        let invalid = |found: String| Err(Error::ModelInvalid(format!("{}: {found}", files.describe(CONFIG))));
        let mut config: DistilBertConfig = match serde_json::from_slice(&bytes) {
            Ok(config) => config,
            Err(error) => return invalid(format!("not the configuration of a DistilBERT: {error}")),
        };
        if config.model_type != "distilbert" {
            return invalid(format!("model_type is {:?}; only \"distilbert\" is supported", config.model_type));
        }
        let architecture = "DistilBertForSequenceClassification";
        if !config.architectures.is_empty() && !config.architectures.iter().any(|name| name == architecture) {
            return invalid(format!("architectures is {:?}; it must hold {architecture:?}", config.architectures));
        }
        for (field, value) in [
            ("vocab_size", config.vocab_size),
            ("max_position_embeddings", config.max_position_embeddings),
            ("n_layers", config.n_layers),
            ("n_heads", config.n_heads),
            ("dim", config.dim),
            ("hidden_dim", config.hidden_dim),
        ] {
            // The upper bound only keeps products of sizes from overflowing.
            if !(1..=1 << 24).contains(&value) {
                return invalid(format!("{field} is {value}, which makes no sense"));
            }
        }
        if !config.dim.is_multiple_of(config.n_heads) {
            return invalid(format!("dim {} is not a multiple of n_heads {}", config.dim, config.n_heads));
        }
        if config.id2label.is_empty() {
            config.id2label = (0..2).map(|id| (id, format!("LABEL_{id}"))).collect();
        }
        if !config.id2label.keys().copied().eq(0..config.id2label.len()) {
            return invalid(format!("id2label has the ids {:?}; they must count from 0", config.id2label.keys()));
        }
        Ok(config)
    }

    /// The most memory that the packed weights take, if the sizes are those of a file of
    /// `file_bytes`; else enough to find out which tensor is missing.
    fn weight_bytes(&self, precision: Precision, file_bytes: usize) -> usize {
        let DistilBertConfig { dim, hidden_dim, n_layers, .. } = *self;
        let [square, lin1, lin2] = [(dim, dim), (dim, hidden_dim), (hidden_dim, dim)]
            .map(|(inputs, outputs)| Matrix::most_bytes(precision, inputs, outputs));
        let head = [dim, self.id2label.len()].map(|outputs| Matrix::most_bytes(Precision::F32, dim, outputs));
        let blocks = n_layers.saturating_mul(4 * square + lin1 + lin2);
        blocks.saturating_add(head.iter().sum()).min(16 * file_bytes + (64 << 20))
    }

    /// Names of the labels, in the order of the logits.
    pub fn labels(&self) -> Vec<&str> {
        self.id2label.values().map(String::as_str).collect()
    }
}

/// The network.
pub struct DistilBert {
    level: Level,
    sizes: Sizes,
    embeddings: Embeddings,
    blocks: Vec<Block>,
    last: LastBlock,
    pre_classifier: Linear,
    classifier: Linear,
    /// Those that no forward pass is using.
    workspaces: Mutex<Vec<Workspace>>,
}

#[derive(Clone, Copy)]
struct Sizes {
    dim: usize,
    hidden_dim: usize,
    heads: usize,
    labels: usize,
}

impl DistilBert {
    /// Takes the tensors of `DistilBertForSequenceClassification` out of `weights` and packs them
    /// for `level`; the threads of the pool that this is called in share the work.
    ///
    /// # Errors
    /// [`Error::ModelInvalid`] for a missing tensor, another shape than `config` says, or an int8
    /// weight that is not finite.
    pub fn load(config: &DistilBertConfig, weights: &Weights, precision: Precision, level: Level) -> Result<Self> {
        let (dim, labels, last) = (config.dim, config.id2label.len(), config.n_layers - 1);
        let loader = Loader {
            arena: &Arena::new(config.weight_bytes(precision, weights.file_bytes()))?,
            config,
            level,
            precision,
        };
        // The head is small, and an error in it shows at once: it stays in f32.
        let head = Loader { precision: Precision::F32, ..loader };
        let tables = weights.at("distilbert.embeddings");
        let embeddings = Embeddings {
            words: tables.at("word_embeddings").map("weight", &[config.vocab_size, dim])?,
            positions: tables.at("position_embeddings").read("weight", &[config.max_position_embeddings, dim])?,
            norm: loader.norm(&tables.at("LayerNorm"))?,
        };
        let layers = weights.at("distilbert.transformer.layer");
        // One after the other, so that the weights lie in the order of their use.
        let blocks = (0..last).map(|layer| Block::load(&loader, &layers.at(layer))).collect::<Result<_>>()?;
        let last = LastBlock::load(&loader, &layers.at(last))?;
        Ok(DistilBert {
            level,
            sizes: Sizes { dim, hidden_dim: config.hidden_dim, heads: config.n_heads, labels },
            embeddings,
            blocks,
            last,
            pre_classifier: head.linear(&[weights.at("pre_classifier")], dim, dim, Activation::Relu)?,
            classifier: head.linear(&[weights.at("classifier")], dim, labels, Activation::None)?,
            workspaces: Mutex::default(),
        })
    }

    /// One logit per label for each of `sequences`, of token ids, with at most
    /// `max_position_embeddings` tokens each.
    ///
    /// # Errors
    /// candle's, for ids or lengths out of bounds.
    pub fn forward(&self, sequences: &[&[u32]], threads: Threads<'_>) -> CandleResult<Vec<Vec<f32>>> {
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

    fn forward_in(
        &self,
        workspace: &Workspace,
        sequences: &[&[u32]],
        tokens: usize,
        threads: Threads<'_>,
    ) -> CandleResult<Vec<Vec<f32>>> {
        let dim = self.sizes.dim;
        let mut whole = Vec::with_capacity(sequences.len());
        let mut start = 0;
        for sequence in sequences {
            let end = start + sequence.len();
            whole.push((start..end, start..end));
            start = end;
        }

        let hidden = workspace.hidden.narrow(0, 0, tokens)?;
        let attended = workspace.attended.narrow(0, 0, tokens)?;
        let context = workspace.context.narrow(0, 0, tokens)?;
        let projected = workspace.projected.narrow(0, 0, tokens)?;
        let queries = projected.narrow(1, 0, dim)?;
        let keys_values = projected.narrow(1, dim, 2 * dim)?;
        hidden.inplace_op1(&Embed { embeddings: &self.embeddings, level: self.level, sequences })?;
        for block in &self.blocks {
            projected.inplace_op2(&hidden, &block.query_key_value.on(threads))?;
            context.inplace_op3(&queries, &keys_values, &self.attention(&whole, threads))?;
            attended.inplace_op3(&context, &hidden, &block.output.on(threads))?;
            block.feed_forward.forward(&attended, &hidden, &workspace.inner, threads)?;
        }

        // The head sees the first token alone, and so the last block computes no other.
        let starts: Vec<u32> = whole.iter().map(|(_, tokens)| tokens.start as u32).collect();
        let count = starts.len();
        let first = hidden.index_select(&Tensor::new(starts, &Device::Cpu)?, 0)?;
        let firsts: Vec<_> = whole.into_iter().enumerate().map(|(row, (_, tokens))| (row..row + 1, tokens)).collect();
        // The same memory as before, in shorter rows.
        let keys_values = workspace.projected.flatten_all()?.narrow(0, 0, tokens * 2 * dim)?;
        let keys_values = keys_values.reshape((tokens, 2 * dim))?;
        let queries = workspace.attended.narrow(0, 0, count)?;
        let context = workspace.context.narrow(0, 0, count)?;
        queries.inplace_op2(&first, &self.last.query.on(threads))?;
        keys_values.inplace_op2(&hidden, &self.last.key_value.on(threads))?;
        context.inplace_op3(&queries, &keys_values, &self.attention(&firsts, threads))?;
        // In the place of the queries, which are spent.
        let attended = queries;
        attended.inplace_op3(&context, &first, &self.last.output.on(threads))?;
        self.last.feed_forward.forward(&attended, &first, &workspace.inner, threads)?;

        context.inplace_op2(&first, &self.pre_classifier.on(threads))?;
        let logits = workspace.logits.narrow(0, 0, count)?;
        logits.inplace_op2(&context, &self.classifier.on(threads))?;
        logits.to_vec2()
    }

    fn attention<'a>(&self, sequences: &'a [(Range<usize>, Range<usize>)], threads: Threads<'a>) -> Attention<'a> {
        Attention { level: self.level, threads, heads: self.sizes.heads, sequences }
    }

    fn workspaces(&self) -> MutexGuard<'_, Vec<Workspace>> {
        // Nothing panics while it holds the lock.
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner)
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
        let matrix = |rows, columns| Tensor::zeros((rows, columns), DType::F32, &Device::Cpu);
        Ok(Workspace {
            hidden: matrix(tokens, dim)?,
            projected: matrix(tokens, 3 * dim)?,
            context: matrix(tokens, dim)?,
            attended: matrix(tokens, dim)?,
            inner: matrix(tokens.min(ROWS), hidden_dim)?,
            logits: matrix(sequences, labels)?,
        })
    }

    fn holds(&self, tokens: usize, sequences: usize) -> bool {
        self.hidden.dims()[0] >= tokens && self.logits.dims()[0] >= sequences
    }
}

/// One transformer block.
struct Block {
    query_key_value: Linear,
    output: ResidualLinear,
    feed_forward: FeedForward,
}

impl Block {
    fn load(loader: &Loader<'_>, weights: &Weights) -> Result<Self> {
        let dim = loader.config.dim;
        let parts = ["q_lin", "k_lin", "v_lin"].map(|name| weights.at("attention").at(name));
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
    key_value: Linear,
    output: ResidualLinear,
    feed_forward: FeedForward,
}

impl LastBlock {
    fn load(loader: &Loader<'_>, weights: &Weights) -> Result<Self> {
        let dim = loader.config.dim;
        let [query, key, value] = ["q_lin", "k_lin", "v_lin"].map(|name| weights.at("attention").at(name));
        Ok(LastBlock {
            query: loader.linear(&[query], dim, dim, Activation::None)?,
            key_value: loader.linear(&[key, value], dim, dim, Activation::None)?,
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
        let DistilBertConfig { dim, hidden_dim, activation, .. } = *loader.config;
        let norm = loader.norm(&weights.at("output_layer_norm"))?;
        Ok(FeedForward {
            lin1: loader.linear(&[weights.at("ffn.lin1")], dim, hidden_dim, activation)?,
            lin2: loader.residual_linear(&weights.at("ffn.lin2"), hidden_dim, norm)?,
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
    config: &'a DistilBertConfig,
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
        let (matrix, bias) = self.matrix(std::slice::from_ref(weights), input, self.config.dim)?;
        Ok(ResidualLinear::new(matrix, bias, norm))
    }

    fn attention_output(&self, block: &Weights) -> Result<ResidualLinear> {
        let norm = self.norm(&block.at("sa_layer_norm"))?;
        self.residual_linear(&block.at("attention.out_lin"), self.config.dim, norm)
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

    fn norm(&self, weights: &Weights) -> Result<LayerNorm> {
        let shape = [self.config.dim];
        Ok(LayerNorm { weight: weights.read("weight", &shape)?, bias: weights.read("bias", &shape)? })
    }
}
