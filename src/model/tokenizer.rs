//! Text to token ids, as the model's own tokenizer does it.

use serde::Deserialize;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{AddedToken, Tokenizer as Pipeline};

use super::distilbert::DistilBertConfig;
use super::files::{ModelFiles, TOKENIZER, TOKENIZER_CONFIG, VOCABULARY};
use crate::error::{Error, Result};

/// Content tokens that neighbouring windows of a long text share.
const OVERLAP: usize = 128;

/// Longest sequence that is ever scored, special tokens included.
const MAX_TOKENS: usize = 512;

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
    model_max_length: f64,
    unk_token: SpecialToken,
    cls_token: SpecialToken,
    sep_token: SpecialToken,
    pad_token: SpecialToken,
    mask_token: SpecialToken,
}

/// A special token as a string or as an object with a `content` field.
#[derive(Deserialize)]
#[serde(untagged)]
enum SpecialToken {
    Text(String),
    Object { content: String },
}

impl SpecialToken {
    fn named(text: &str) -> Self {
        SpecialToken::Text(text.to_owned())
    }

    fn text(&self) -> &str {
        match self {
            SpecialToken::Text(text) | SpecialToken::Object { content: text } => text,
        }
    }
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        TokenizerConfig {
            do_lower_case: true,
            strip_accents: None,
            tokenize_chinese_chars: true,
            model_max_length: MAX_TOKENS as f64,
            unk_token: SpecialToken::named("[UNK]"),
            cls_token: SpecialToken::named("[CLS]"),
            sep_token: SpecialToken::named("[SEP]"),
            pad_token: SpecialToken::named("[PAD]"),
            mask_token: SpecialToken::named("[MASK]"),
        }
    }
}

impl Tokenizer {
    /// Builds the tokenizer from `tokenizer.json`, or from `vocab.txt` and `tokenizer_config.json`
    /// where there is none.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] if the model has neither, [`Error::ModelInvalid`] if one cannot be
    /// used or gives ids that the network has no embedding for.
    pub fn load(files: &ModelFiles, network: &DistilBertConfig) -> Result<Self> {
        let config = read_config(files)?;
        let (pipeline, file) = match files.read(TOKENIZER)? {
            Some(bytes) => (from_json(&bytes, files)?, TOKENIZER),
            None => (from_vocabulary(&config, files)?, VOCABULARY),
        };
        let invalid = |found: String| Error::ModelInvalid(format!("{}: {found}", files.describe(file)));
        let special = |token: &SpecialToken| {
            let text = token.text();
            pipeline.token_to_id(text).ok_or_else(|| invalid(format!("the token {text} is not in the vocabulary")))
        };
        let (cls, sep) = (special(&config.cls_token)?, special(&config.sep_token)?);
        let largest = pipeline.get_vocab(true).into_values().max().unwrap_or(0) as usize;
        if largest >= network.vocab_size {
            return Err(invalid(format!(
                "the largest token id is {largest}; vocab_size in config.json allows ids below {}",
                network.vocab_size
            )));
        }
        // A float, since models without a limit write 1e30; the cast saturates.
        let max_tokens = MAX_TOKENS.min(network.max_position_embeddings).min(config.model_max_length as usize);
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
fn from_vocabulary(config: &TokenizerConfig, files: &ModelFiles) -> Result<Pipeline> {
    let bytes = files.read(VOCABULARY)?.ok_or_else(|| {
        let described = files.describe(TOKENIZER);
        Error::ModelNotFound(format!("{described} does not exist, and {VOCABULARY} beside it neither"))
    })?;
    let invalid = |error| Error::ModelInvalid(format!("{}: {error}", files.describe(VOCABULARY)));
    let model = WordPiece::read_bytes(&bytes)
        .and_then(|vocabulary| {
            WordPiece::builder()
                .vocab(vocabulary)
                .unk_token(config.unk_token.text().to_owned())
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
    let special = [&config.unk_token, &config.sep_token, &config.pad_token, &config.cls_token, &config.mask_token];
    let special: Vec<AddedToken> = special
        .iter()
        .filter(|token| pipeline.token_to_id(token.text()).is_some())
        .map(|token| AddedToken::from(token.text(), true))
        .collect();
    pipeline.add_special_tokens(special).map_err(invalid)?;
    Ok(pipeline)
}
