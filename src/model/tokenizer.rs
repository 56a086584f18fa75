//! Text to token ids, as the model's own tokenizer does it.

use serde::Deserialize;
use serde_json::json;
use tokenizers::models::bpe::BPE;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer as Pipeline};

use super::family::{Model, SpecialTokens};
use super::files::{BPE_VOCABULARY, MERGES, ModelFiles, TOKENIZER, TOKENIZER_CONFIG, VOCABULARY};
use crate::error::{Error, Result};

/// Content tokens that neighbouring windows of a long text share.
const OVERLAP: usize = 128;

/// Longest sequence that is ever scored, special tokens included.
pub const MAX_TOKENS: usize = 512;

/// Turns a text into windows of token ids that fit the model.
pub struct Tokenizer {
    pipeline: Pipeline,
    cls: u32,
    sep: u32,
    max_tokens: usize,
}

/// The fields of `tokenizer_config.json` that matter; absent ones mean what they mean in Python.
#[derive(Deserialize)]
#[serde(default)]
struct TokenizerConfig {
    do_lower_case: bool,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: bool,
    add_prefix_space: bool,
    model_max_length: f64,
    unk_token: Option<SpecialToken>,
    cls_token: Option<SpecialToken>,
    sep_token: Option<SpecialToken>,
    pad_token: Option<SpecialToken>,
    mask_token: Option<SpecialToken>,
}

/// A special token as a string or as an object with a `content` field.
#[derive(Deserialize)]
#[serde(untagged)]
enum SpecialToken {
    Text(String),
    Object { content: String },
}

/// The special tokens of a model.
struct Special {
    unk: String,
    cls: String,
    sep: String,
    pad: String,
    mask: String,
}

impl TokenizerConfig {
    /// Its special tokens, or those of the family.
    fn special(&self, family: &SpecialTokens) -> Special {
        let text = |token: &Option<SpecialToken>, default: &str| match token {
            Some(SpecialToken::Text(text) | SpecialToken::Object { content: text }) => text.clone(),
            None => default.to_owned(),
        };
        Special {
            unk: text(&self.unk_token, family.unk),
            cls: text(&self.cls_token, family.cls),
            sep: text(&self.sep_token, family.sep),
            pad: text(&self.pad_token, family.pad),
            mask: text(&self.mask_token, family.mask),
        }
    }
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        TokenizerConfig {
            do_lower_case: true,
            strip_accents: None,
            tokenize_chinese_chars: true,
            add_prefix_space: false,
            model_max_length: MAX_TOKENS as f64,
            unk_token: None,
            cls_token: None,
            sep_token: None,
            pad_token: None,
            mask_token: None,
        }
    }
}

impl Tokenizer {
    /// Builds the tokenizer from `tokenizer.json`, or where there is none with `tokenizer_config.json`
    /// from `vocab.txt` (WordPiece) or from `vocab.json` and `merges.txt` (byte-level BPE).
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] if the model has none of these, [`Error::ModelInvalid`] if one cannot be
    /// used or gives ids that the network has no embedding for.
    pub fn load(files: &ModelFiles, model: &Model) -> Result<Self> {
        let Model { family, plan, .. } = model;
        let config = read_config(files)?;
        let tokens = config.special(family.tokens);
        let (pipeline, file) = if let Some(bytes) = files.read(TOKENIZER)? {
            (from_json(&bytes, files)?, TOKENIZER)
        } else if let Some(bytes) = files.read(VOCABULARY)? {
            (from_vocabulary(&bytes, &config, &tokens, files)?, VOCABULARY)
        } else if let Some(bytes) = files.read(BPE_VOCABULARY)? {
            (from_merges(&bytes, &config, &tokens, files)?, BPE_VOCABULARY)
        } else {
            return Err(Error::ModelNotFound(format!(
                "{} does not exist, nor beside it {VOCABULARY}, or {BPE_VOCABULARY} with {MERGES}",
                files.describe(TOKENIZER)
            )));
        };
        let invalid = |found: String| Error::ModelInvalid(format!("{}: {found}", files.describe(file)));
        let special = |text: &str| {
            pipeline.token_to_id(text).ok_or_else(|| invalid(format!("the token {text} is not in the vocabulary")))
        };
        let (cls, sep) = (special(&tokens.cls)?, special(&tokens.sep)?);
        let largest = pipeline.get_vocab(true).into_values().max().unwrap_or(0) as usize;
        if largest >= plan.vocabulary() {
            return Err(invalid(format!(
                "the largest token id is {largest}; vocab_size in config.json allows ids below {}",
                plan.vocabulary()
            )));
        }
        // A float, since models without a limit write 1e30; the cast saturates.
        let max_tokens = MAX_TOKENS.min(plan.max_tokens()).min(config.model_max_length as usize);
        if max_tokens <= 2 + OVERLAP {
            return Err(invalid(format!("a model of {max_tokens} positions is too short: more than 130 are needed")));
        }
        Ok(Tokenizer { pipeline, cls, sep, max_tokens })
    }

    /// The sequences of token ids to score for `text`, special tokens included: one for a text
    /// that fits the model, else windows that overlap by 128 tokens.
    ///
    /// # Errors
    /// [`Error::Internal`] if the tokenizer fails.
    pub fn windows(&self, text: &str) -> Result<Vec<Vec<u32>>> {
        let encoding = self.pipeline.encode_fast(text, false).map_err(|error| Error::Internal(error.to_string()))?;
        let (ids, size) = (encoding.get_ids(), self.max_tokens - 2);
        let mut windows = Vec::with_capacity(1);
        let mut start = 0;
        loop {
            let end = ids.len().min(start + size);
            windows.push([&[self.cls], &ids[start..end], &[self.sep]].concat());
            if end == ids.len() {
                return Ok(windows);
            }
            start += size - OVERLAP;
        }
    }
}

fn read_config(files: &ModelFiles) -> Result<TokenizerConfig> {
    let Some(bytes) = files.read(TOKENIZER_CONFIG)? else { return Ok(TokenizerConfig::default()) };
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::ModelInvalid(format!("{}: {error}", files.describe(TOKENIZER_CONFIG))))
}

fn from_json(bytes: &[u8], files: &ModelFiles) -> Result<Pipeline> {
    let invalid = |error| Error::ModelInvalid(format!("{}: {error}", files.describe(TOKENIZER)));
    let mut pipeline = Pipeline::from_bytes(bytes).map_err(invalid)?;
    // Windows are cut here, and nothing is ever padded.
    pipeline.with_truncation(None).map_err(invalid)?;
    pipeline.with_padding(None);
    Ok(pipeline)
}

/// The pipeline that Python builds for `BertTokenizer` from the same two files.
fn from_vocabulary(bytes: &[u8], config: &TokenizerConfig, tokens: &Special, files: &ModelFiles) -> Result<Pipeline> {
    let invalid = |error| Error::ModelInvalid(format!("{}: {error}", files.describe(VOCABULARY)));
    let model = WordPiece::read_bytes(bytes)
        .and_then(|vocabulary| {
            WordPiece::builder()
                .vocab(vocabulary)
                .unk_token(tokens.unk.clone())
                .continuing_subword_prefix("##".to_owned())
                .max_input_chars_per_word(100)
                .build()
        })
        .map_err(invalid)?;
    let mut pipeline = Pipeline::new(model);
    let (clean_text, lower_case) = (true, config.do_lower_case);
    pipeline
        .with_normalizer(Some(BertNormalizer::new(
            clean_text,
            config.tokenize_chinese_chars,
            config.strip_accents,
            lower_case,
        )))
        .map_err(invalid)?
        .with_pre_tokenizer(Some(BertPreTokenizer));
    let special = [&tokens.unk, &tokens.sep, &tokens.pad, &tokens.cls, &tokens.mask];
    let special: Vec<AddedToken> = special
        .into_iter()
        .filter(|token| pipeline.token_to_id(token).is_some())
        .map(|token| AddedToken::from(token.as_str(), true))
        .collect();
    pipeline.add_special_tokens(special).map_err(invalid)?;
    Ok(pipeline)
}

/// The pipeline that Python builds for `RobertaTokenizer` from `vocab.json`, whose `bytes` these are,
/// and `merges.txt`.
fn from_merges(bytes: &[u8], config: &TokenizerConfig, tokens: &Special, files: &ModelFiles) -> Result<Pipeline> {
    let invalid = |name: &str, found: String| Error::ModelInvalid(format!("{}: {found}", files.describe(name)));
    let vocabulary: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| invalid(BPE_VOCABULARY, error.to_string()))?;
    let merges = files.require(MERGES)?;
    let merges = std::str::from_utf8(&merges).map_err(|error| invalid(MERGES, error.to_string()))?;
    let merges: Vec<&str> = merges.lines().filter(|line| !line.is_empty() && !line.starts_with("#version")).collect();
    // As tokenizer.json has it, which checks it on the way.
    let model = json!({ "type": "BPE", "vocab": vocabulary, "merges": merges });
    let model: BPE = serde_json::from_str(&model.to_string()).map_err(|error| invalid(MERGES, error.to_string()))?;
    let mut pipeline = Pipeline::new(model);
    pipeline.with_pre_tokenizer(Some(ByteLevel::new(config.add_prefix_space, true, true)));
    let special = [&tokens.cls, &tokens.pad, &tokens.sep, &tokens.unk, &tokens.mask]
        .into_iter()
        .filter(|token| pipeline.token_to_id(token).is_some())
        .map(|token| AddedToken::from(token.as_str(), true))
        .collect::<Vec<_>>();
    pipeline.add_special_tokens(special).map_err(|error| invalid(BPE_VOCABULARY, error.to_string()))?;
    Ok(pipeline)
}
