//! The peer "plain candle": `DistilBertModel` of candle-transformers with the head that it lacks.
//! See subjects/run.js for what a subject is asked and answers.
//!
//! Its GELU is the tanh approximation, so its scores differ a little from everybody else's.

use std::error::Error;
use std::time::Instant;

use candle_core::{D, DType, Device, IndexOp, Tensor};
use candle_nn::{Linear, Module, VarBuilder, linear, ops::softmax};
use candle_transformers::models::distilbert::{Config, DistilBertModel};
use serde_json::{Value, json};
use tokenizers::{PaddingParams, Tokenizer};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

struct Classifier {
    tokenizer: Tokenizer,
    encoder: DistilBertModel,
    pre_classifier: Linear,
    classifier: Linear,
}

impl Classifier {
    fn load(directory: &str) -> Result<Self> {
        let file = |name: &str| format!("{directory}/{name}");
        let config: Config = serde_json::from_slice(&std::fs::read(file("config.json"))?)?;
        let mut tokenizer = Tokenizer::from_file(file("tokenizer.json"))?;
        tokenizer.with_padding(Some(PaddingParams::default()));
        // SAFETY: nobody writes to the file meanwhile.
        let weights =
            unsafe { VarBuilder::from_mmaped_safetensors(&[file("model.safetensors")], DType::F32, &Device::Cpu)? };
        Ok(Classifier {
            tokenizer,
            encoder: DistilBertModel::load(weights.clone(), &config)?,
            pre_classifier: linear(config.dim, config.dim, weights.pp("pre_classifier"))?,
            classifier: linear(config.dim, 2, weights.pp("classifier"))?,
        })
    }

    /// The probability of the label 0, NEGATIVE, for each of `texts`, as one padded batch.
    fn score(&self, texts: &[&str]) -> Result<Vec<f32>> {
        let encodings = self.tokenizer.encode_batch(texts.to_vec(), true)?;
        let shape = (texts.len(), encodings[0].len());
        let ids: Vec<u32> = encodings.iter().flat_map(|encoding| encoding.get_ids().iter().copied()).collect();
        // candle's mask says which tokens not to see.
        let hidden =
            encodings.iter().flat_map(|encoding| encoding.get_attention_mask().iter().map(|&seen| 1 - seen as u8));
        let mask = Tensor::from_iter(hidden, &Device::Cpu)?.reshape((shape.0, 1, 1, shape.1))?;
        let states = self.encoder.forward(&Tensor::from_vec(ids, shape, &Device::Cpu)?, &mask)?;
        let pooled = self.pre_classifier.forward(&states.i((.., 0))?.contiguous()?)?.relu()?;
        Ok(softmax(&self.classifier.forward(&pooled)?, D::Minus1)?.i((.., 0))?.to_vec1()?)
    }
}

fn main() -> Result<()> {
    let request: Value = serde_json::from_reader(std::io::stdin())?;
    let text_of = |name: &str| request[name].as_str().ok_or_else(|| format!("{name} is missing"));
    let texts: Vec<&str> =
        request["texts"].as_array().ok_or("texts are missing")?.iter().filter_map(Value::as_str).collect();

    let started = Instant::now();
    let classifier = Classifier::load(text_of("model")?)?;
    let load_ms = milliseconds(started);
    let after_load = peak_memory();

    let warm_up = request["warmUp"].as_u64().unwrap_or(0) as usize;
    for text in texts.iter().cycle().take(warm_up) {
        classifier.score(&[text])?;
    }
    let (mut times, mut scores) = (Vec::new(), Vec::new());
    let mut timed = |texts: &[&str]| -> Result<()> {
        let started = Instant::now();
        scores.extend(classifier.score(texts)?);
        times.push(milliseconds(started));
        Ok(())
    };
    match text_of("mode")? {
        "each" => texts.iter().try_for_each(|text| timed(&[text]))?,
        "list" => timed(&texts)?,
        mode => return Err(format!("there is no mode {mode:?} here").into()),
    }
    let answer = json!({
        "load_ms": load_ms, "times_ms": times, "scores": scores,
        "memory": { "load": after_load, "end": peak_memory() },
    });
    println!("{answer}");
    Ok(())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The most memory that this process ever held, in MiB; only Linux says it.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<f64>().ok()? / 1024.0)
}
