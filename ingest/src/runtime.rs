//! The ONNX runtime that models run on: one in a process, loaded from the first model folder that brings it.

use std::path::Path;

use ort::environment::Environment;

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
#[error("the onnx runtime cannot be loaded: {0} (run `make model`)")]
pub struct RuntimeError(String);

/// The runtime; where there is none yet, the library of the first of these folders that has one.
#[cfg(feature = "runtime-file")]
pub(crate) fn environment(folders: &[&Path]) -> Result<Option<Environment>, RuntimeError> {
    static RUNTIME: parking_lot::Mutex<Option<Environment>> = parking_lot::Mutex::new(None);
    let mut runtime = RUNTIME.lock();
    if runtime.is_none() {
        let library = folders.iter().find_map(|folder| library_in(folder));
        let library = library.ok_or_else(|| RuntimeError(format!("no libonnxruntime in {}", listed(folders))))?;
        let failed = |error: &dyn std::fmt::Display| RuntimeError(format!("{}: {error}", library.display()));
        let path = std::path::absolute(&library).map_err(|error| failed(&error))?;
        let environment = ort::init_from(path).map_err(|error| failed(&error))?.build().map_err(|error| failed(&error))?;
        *runtime = Some(environment);
    }
    Ok(runtime.clone())
}

/// The runtime that is linked in needs no library.
#[cfg(not(feature = "runtime-file"))]
pub(crate) fn environment(_: &[&Path]) -> Result<Option<Environment>, RuntimeError> {
    Ok(None)
}

#[cfg(feature = "runtime-file")]
fn library_in(folder: &Path) -> Option<std::path::PathBuf> {
    let libraries = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    libraries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("libonnxruntime"))).min()
}

#[cfg(feature = "runtime-file")]
fn listed(folders: &[&Path]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" or ")
}
