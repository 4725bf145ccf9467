//! Where libonnxruntime is, and the one that this process has loaded.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::{Code, Error, Result};
use super::onnxruntime::Runtime;

pub const SETTING: &str = "sqlinfer_onnxruntime";
pub const OPERATORS_SETTING: &str = "sqlinfer_operators";
pub const VARIABLE: &str = "SQLINFER_ONNXRUNTIME";
pub const OPERATORS_VARIABLE: &str = "SQLINFER_OPERATORS";

/// What models are opened and run with.
#[derive(Clone)]
pub struct Runner {
    pub runtime: &'static Runtime,
    /// A library of operators that ONNX Runtime itself has not.
    pub operators: Option<PathBuf>,
}

static LOADED: Mutex<Option<&'static Runtime>> = Mutex::new(None);

/// The shared libraries of a database.
#[derive(Clone)]
pub struct Libraries {
    onnxruntime: Option<String>,
    /// Operators that ONNX Runtime itself has not.
    operators: Option<PathBuf>,
}

impl Libraries {
    /// As they were named; where they were not, the environment may name them.
    pub fn of(onnxruntime: Option<String>, operators: Option<String>) -> Libraries {
        let variable = || std::env::var_os(OPERATORS_VARIABLE).filter(|place| !place.is_empty());
        Libraries { onnxruntime, operators: operators.map(PathBuf::from).or_else(|| variable().map(PathBuf::from)) }
    }

    /// The ONNX Runtime of this process: the first that was found stays.
    pub fn runtime(&self) -> Result<&'static Runtime> {
        loaded(self.onnxruntime.as_deref())
    }

    pub fn runner(&self) -> Result<Runner> {
        Ok(Runner { runtime: self.runtime()?, operators: self.operators.clone() })
    }
}

fn loaded(setting: Option<&str>) -> Result<&'static Runtime> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = *loaded {
        return Ok(runtime);
    }
    let path = find(setting)?;
    let opened = Runtime::open(&path).map_err(|reason| {
        Error::of(Code::Engine, format!("ONNX Runtime at {} cannot be loaded: {reason}", path.display()))
    })?;
    Ok(loaded.insert(Box::leak(Box::new(opened))))
}

/// ONNX Runtime 1.32 writes a device id into the user's cache and looks up a host when a model runs, unless this variable
/// is set before it is loaded; what a user has set stays.
pub fn switch_telemetry_off() {
    const TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";
    if std::env::var_os(TELEMETRY).is_none() {
        // SAFETY: when an extension is loaded no query runs yet that would read the environment on another thread; the
        // Python package sets the variable itself, before it has threads.
        unsafe { std::env::set_var(TELEMETRY, "1") };
    }
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
                Error::of(
                    Code::Engine,
                    format!("{name} is '{shown}', which is not libonnxruntime, nor a folder that holds it"),
                )
            });
        }
    }
    let folders = own_folders();
    let beside = folders.iter().flat_map(|folder| [folder.clone(), folder.join("../onnxruntime/capi")]);
    beside.into_iter().find_map(|place| at(&place)).ok_or_else(|| {
        let shown = folders.first().map_or("unknown".to_string(), |folder| folder.display().to_string());
        Error::of(Code::Engine, format!(
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
    file_of(own_file as *const c_void)
}

/// The file of the library, or program, that a function is in.
pub fn file_of(function: *const c_void) -> Option<PathBuf> {
    let null = std::ptr::null_mut();
    let mut place = Place { file: std::ptr::null(), base: null, symbol: std::ptr::null(), address: null };
    // SAFETY: an address is only looked up, and `place` has the layout of Dl_info.
    let found = unsafe { dladdr(function, &mut place) };
    if found == 0 || place.file.is_null() {
        return None;
    }
    // SAFETY: dladdr gives a NUL-terminated path that lives as long as the library.
    let file = unsafe { CStr::from_ptr(place.file) };
    Some(PathBuf::from(file.to_string_lossy().into_owned()))
}
