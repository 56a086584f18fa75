//! tokenizer.json, and vocab.txt with tokenizer_config.json, give the same ids.

use std::path::Path;

use audit_anomaly::model::family::Model;
use audit_anomaly::model::files::ModelFiles;
use audit_anomaly::model::tokenizer::Tokenizer;

use crate::project;

/// The tokenizer of `directory`, without the files that are named.
fn tokenizer(directory: &Path, without: &str) -> Tokenizer {
    let copy = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "vocab.txt", "tokenizer_config.json"] {
        if name != without {
            std::fs::copy(directory.join(name), copy.path().join(name)).unwrap();
        }
    }
    let files = ModelFiles::Directory(copy.path().to_owned());
    Tokenizer::load(&files, &Model::read(&files).unwrap()).unwrap()
}

fn same_ids(directory: &Path) {
    let (json, vocabulary) = (tokenizer(directory, "vocab.txt"), tokenizer(directory, "tokenizer.json"));
    let golden = std::fs::read(project("__test__/fixtures/tiny.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&golden).unwrap();
    let texts = ["texts", "windowed"].iter().flat_map(|part| golden[part].as_array().unwrap());
    let mut count = 0;
    for text in texts.map(|case| case["text"].as_str().unwrap()) {
        assert_eq!(json.windows(text).unwrap(), vocabulary.windows(text).unwrap(), "{text:.60?}");
        count += 1;
    }
    // Every scalar value of the basic plane, and some beyond.
    for start in (0..0x3_1000_u32).step_by(64) {
        let text: String = (start..start + 64).filter_map(char::from_u32).flat_map(|c| [c, 'a', c, ' ']).collect();
        assert_eq!(json.windows(&text).unwrap(), vocabulary.windows(&text).unwrap(), "from U+{start:04X}");
    }
    assert!(count > 150);
}

#[test]
fn the_tiny_model_s_files_agree() {
    same_ids(&project("__test__/fixtures/tiny"));
}

#[test]
fn the_bundled_model_s_files_agree() {
    same_ids(&project("model"));
}

#[test]
fn the_default_model_s_files_agree() {
    let directory = project("../shared/data/bert-base-uncased-tokenizer");
    if !directory.exists() {
        println!("skipped: {} is not there", directory.display());
        return;
    }
    same_ids(&directory);
    let ids = tokenizer(&directory, "tokenizer.json").windows("Hello, World!").unwrap();
    assert_eq!(ids, [[101, 7592, 1010, 2088, 999, 102]]);
}

#[test]
fn windows_cover_a_long_text_and_overlap() {
    let tokenizer = tokenizer(&project("__test__/fixtures/tiny"), "");
    for (tokens, sizes) in [
        (0, vec![2]),
        (1, vec![3]),
        (510, vec![512]),
        (511, vec![512, 131]),
        (892, vec![512, 512]),
        (893, vec![512, 512, 131]),
    ] {
        let text = "a ".repeat(tokens);
        let windows = tokenizer.windows(&text).unwrap();
        assert_eq!(windows.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{tokens} tokens");
    }
}
