//! ONNX Runtime's library: found by its path and loaded at run time.

use std::path::Path;
use std::ptr;

use libloading::Library;
use ort_sys::{
    OrtAllocatorType, OrtApi, OrtApiBase, OrtEnv, OrtLoggingLevel, OrtMemType, OrtMemoryInfo, OrtRunOptions,
};

use super::api::{OLDEST, check, complete, supports, version_of};
use super::operators::SINCE;

/// The library, loaded once for the life of the process.
pub struct Runtime {
    pub(super) api: &'static OrtApi,
    /// Whether it takes the operators that are computed here.
    pub(super) own_operators: bool,
    pub(super) env: *mut OrtEnv,
    pub(super) cpu: *mut OrtMemoryInfo,
    version: String,
}

// SAFETY: the environment and the memory info are made once and only read afterwards; ONNX Runtime allows that from
// any thread.
unsafe impl Send for Runtime {}
// SAFETY: as above.
unsafe impl Sync for Runtime {}

impl Runtime {
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Load the library at `path`. It is never unloaded.
    pub fn open(path: &Path) -> Result<Runtime, String> {
        // SAFETY: loading runs the library's initialisers; that is what the user asked for by naming it.
        let library = unsafe { Library::new(path) }.map_err(|e| with_source(&e))?;
        // SAFETY: the symbol has this type in every version of ONNX Runtime.
        let base = unsafe { library.get::<unsafe extern "system" fn() -> *const OrtApiBase>(b"OrtGetApiBase\0") };
        let base = base.map_err(|e| e.to_string())?;
        // SAFETY: the function takes nothing and gives a pointer to static data or null.
        let base = unsafe { base().as_ref() }.ok_or("OrtGetApiBase gives nothing")?;
        let version = version_of(base);
        let whole = supports(base, SINCE);
        // SAFETY: `base` is valid; a version that is not supported gives null.
        let table = unsafe { (base.GetApi)(if whole { SINCE } else { OLDEST }) };
        if table.is_null() {
            return Err(format!("ONNX Runtime {version} is too old: 1.{OLDEST} or later is needed"));
        }
        // SAFETY: the table lives as long as the library, and one that is not whole is as long as `complete` reads it.
        let api = unsafe { if whole { &*table } else { Box::leak(Box::new(complete(table))) } };
        std::mem::forget(library);
        let mut env = ptr::null_mut();
        let mut cpu = ptr::null_mut();
        // SAFETY: the out-pointers are valid and the name is NUL-terminated.
        let status =
            unsafe { (api.CreateEnv)(OrtLoggingLevel::ORT_LOGGING_LEVEL_FATAL, c"sqlinfer".as_ptr(), &mut env) };
        check(api, status)?;
        if std::env::var_os("ORT_DISABLE_TELEMETRY").is_none_or(|set| set != "0") {
            // SAFETY: the environment is valid. A runtime without telemetry says so, and has nothing to switch off.
            let _ = check(api, unsafe { (api.DisableTelemetryEvents)(env) });
        }
        // SAFETY: the out-pointer is valid.
        let status = unsafe {
            (api.CreateCpuMemoryInfo)(OrtAllocatorType::OrtArenaAllocator, OrtMemType::OrtMemTypeDefault, &mut cpu)
        };
        check(api, status)?;
        Ok(Runtime { api, own_operators: whole, env, cpu, version })
    }

    pub fn run_options(&'static self) -> Result<RunOptions, String> {
        let mut options = ptr::null_mut();
        // SAFETY: the out-pointer is valid.
        check(self.api, unsafe { (self.api.CreateRunOptions)(&mut options) })?;
        Ok(RunOptions { api: self.api, options })
    }
}

/// What the runs of one query have in common.
pub struct RunOptions {
    api: &'static OrtApi,
    pub(super) options: *mut OrtRunOptions,
}

// SAFETY: ONNX Runtime allows one set of options for several runs, and setting their flag while they are in use.
unsafe impl Send for RunOptions {}
// SAFETY: as above.
unsafe impl Sync for RunOptions {}

impl Drop for RunOptions {
    fn drop(&mut self) {
        // SAFETY: the options are ours and are released once.
        unsafe { (self.api.ReleaseRunOptions)(self.options) };
    }
}

impl RunOptions {
    /// Runs with these options end with an error, also those that go on already, until this is taken back.
    pub fn terminate(&self, now: bool) {
        let set = if now { self.api.RunOptionsSetTerminate } else { self.api.RunOptionsUnsetTerminate };
        // SAFETY: the options are alive; runs look at this flag of theirs while it changes.
        let _ = check(self.api, unsafe { set(self.options) });
    }
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
