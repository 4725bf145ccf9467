//! Where libonnxruntime is, and the one that this process has loaded.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::onnxruntime::Runtime;
use crate::core::error::{Error, Result};

pub const SETTING: &str = "sqlinfer_onnxruntime";
pub const OPERATORS_SETTING: &str = "sqlinfer_operators";
const VARIABLE: &str = "SQLINFER_ONNXRUNTIME";
const OPERATORS_VARIABLE: &str = "SQLINFER_OPERATORS";

static LOADED: Mutex<Option<&'static Runtime>> = Mutex::new(None);

/// The shared libraries that a connection names.
#[derive(Clone, Default)]
pub struct Libraries {
    pub onnxruntime: Option<String>,
    /// Operators that ONNX Runtime itself has not.
    pub operators: Option<String>,
}

/// The runtime of this process: the first that was found stays. Models that are opened from now on may use the
/// operators that are named.
pub fn runtime(libraries: &Libraries) -> Result<&'static Runtime> {
    let runtime = loaded(libraries.onnxruntime.as_deref())?;
    let variable = std::env::var_os(OPERATORS_VARIABLE).filter(|place| !place.is_empty());
    if let Some(operators) = libraries.operators.as_ref().map(PathBuf::from).or(variable.map(PathBuf::from)) {
        runtime.use_operators(operators);
    }
    Ok(runtime)
}

/// End the runs that go on, and those that begin, until `pressed` is false again.
pub fn interrupt(pressed: bool) {
    if let Some(runtime) = *LOADED.lock().unwrap_or_else(PoisonError::into_inner) {
        runtime.interrupt(pressed);
    }
}

fn loaded(setting: Option<&str>) -> Result<&'static Runtime> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = *loaded {
        return Ok(runtime);
    }
    let path = find(setting)?;
    let opened = Runtime::open(&path)
        .map_err(|reason| Error(format!("ONNX Runtime at {} cannot be loaded: {reason}", path.display())))?;
    Ok(loaded.insert(Box::leak(Box::new(opened))))
}

fn find(setting: Option<&str>) -> Result<PathBuf> {
    let variable = std::env::var_os(VARIABLE);
    let named = [
        (format!("the setting {SETTING}"), setting.map(OsStr::new)),
        (format!("the environment variable {VARIABLE}"), variable.as_deref()),
    ];
    for (name, place) in named {
        if let Some(place) = place.filter(|place| !place.is_empty()) {
            let place = Path::new(place);
            return at(place).ok_or_else(|| {
                let shown = place.display();
                Error(format!("{name} is '{shown}', which is not libonnxruntime, nor a folder that holds it"))
            });
        }
    }
    let folders = own_folders();
    let beside = folders.iter().flat_map(|folder| [folder.clone(), folder.join("../onnxruntime/capi")]);
    beside.into_iter().find_map(|place| at(&place)).ok_or_else(|| {
        let shown = folders.first().map_or("unknown".to_string(), |folder| folder.display().to_string());
        Error(format!(
            "libonnxruntime is not found. Install it (pip install onnxruntime) and say where it is, in one of three \
             ways: SET {SETTING} = '/path/to/libonnxruntime.so'; the environment variable {VARIABLE}; or put it \
             beside the extension, in {shown}"
        ))
    })
}

/// The library itself, or the newest in a folder.
fn at(place: &Path) -> Option<PathBuf> {
    if place.is_file() {
        return std::fs::canonicalize(place).ok();
    }
    let is_library = |path: &PathBuf| {
        let name = path.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
        let linux = name.starts_with("libonnxruntime.so");
        linux || (name.starts_with("libonnxruntime.") && name.ends_with(".dylib"))
    };
    let entries = std::fs::read_dir(place).ok()?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_library).collect();
    found.sort_unstable();
    std::fs::canonicalize(found.pop()?).ok()
}

/// The folder of the extension's own file, as it was loaded and with links followed.
fn own_folders() -> Vec<PathBuf> {
    let Some(file) = own_file() else { return Vec::new() };
    let real = std::fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
    let mut folders: Vec<PathBuf> = [file, real].iter().filter_map(|f| f.parent().map(Path::to_path_buf)).collect();
    folders.dedup();
    folders
}

#[repr(C)]
struct Place {
    file: *const c_char,
    base: *mut c_void,
    symbol: *const c_char,
    address: *mut c_void,
}

unsafe extern "C" {
    fn dladdr(address: *const c_void, place: *mut Place) -> c_int;
}

fn own_file() -> Option<PathBuf> {
    let null = std::ptr::null_mut();
    let mut place = Place { file: std::ptr::null(), base: null, symbol: std::ptr::null(), address: null };
    // SAFETY: the address is that of a function here, and `place` has the layout of Dl_info.
    let found = unsafe { dladdr(own_file as *const c_void, &mut place) };
    if found == 0 || place.file.is_null() {
        return None;
    }
    // SAFETY: dladdr gives a NUL-terminated path that lives as long as the library.
    let file = unsafe { CStr::from_ptr(place.file) };
    Some(PathBuf::from(file.to_string_lossy().into_owned()))
}
