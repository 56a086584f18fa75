//! Where a model comes from: what `ANOMALY_MODEL` means on this machine, now.

use super::files::ModelFiles;
use super::hub;
use super::progress::Meter;
use crate::config::{DEFAULT_MODEL, HubConfig, HubModel, ModelChoice};
use crate::error::{Error, Result};

/// The `model_name` of the bundled model's scores.
pub const BUNDLED_NAME: &str = "audit-anomaly-small";

/// A model whose files are on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where they are.
    pub files: ModelFiles,
    /// The `model_name` of its scores.
    pub name: String,
    /// What the user should be told: that another model stands in for the default one.
    pub warning: Option<String>,
}

impl Source {
    /// Finds the files of `choice`, downloading them if need be.
    ///
    /// # Errors
    /// Those of [`hub::fetch`]. A default model that nobody asked for by name falls back to the
    /// bundled one where the hub cannot be heard; everything else that goes wrong is an error.
    pub fn find(choice: &ModelChoice, hub: &HubConfig, meter: &std::sync::Arc<Meter>) -> Result<Self> {
        let found = |files| Source { files, name: choice.name(), warning: None };
        match choice {
            ModelChoice::Bundled => Ok(found(ModelFiles::Bundled)),
            ModelChoice::Directory(path) => Ok(found(ModelFiles::Directory(path.clone()))),
            ModelChoice::Hub(model) => hub::fetch(model, hub, meter).map(ModelFiles::Directory).map(found),
            ModelChoice::DefaultOrBundled => match hub::fetch(&HubModel::default_model(), hub, meter) {
                Ok(path) => Ok(found(ModelFiles::Directory(path))),
                Err(Error::ModelDownload { message, unreachable: true }) => Ok(Source {
                    files: ModelFiles::Bundled,
                    name: BUNDLED_NAME.to_owned(),
                    warning: Some(format!(
                        "{DEFAULT_MODEL} could not be had ({message}); scoring with the bundled model \
                         {BUNDLED_NAME} instead. Set ANOMALY_MODEL=bundled to choose it without this warning."
                    )),
                }),
                Err(error) => Err(error),
            },
        }
    }
}
