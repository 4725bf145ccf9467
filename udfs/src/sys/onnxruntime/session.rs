//! A loaded model, which any thread may run.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;
use std::ptr;

use ort_sys::{OrtApi, OrtSession, OrtSessionOptions, OrtValue};

use super::api::check;
use super::operators::{self, Operators};
use super::runtime::{RunOptions, Runtime};
use super::tensor::{Feed, Value};
use crate::sys::tensor::Tensor;

/// What ONNX Runtime says of an operator that is not its own.
const STRANGE: &str = "is not a registered function/op";
const NO_OPERATORS: &str = "Name the library that has it: SET sqlinfer_operators = '/path/to/library.so'; the library \
    of the package onnxruntime-extensions runs in Python only";

/// A loaded model. `run` may be called from any thread.
pub struct Graph {
    runtime: &'static Runtime,
    session: *mut OrtSession,
    own_operators: bool,
}

// SAFETY: an OrtSession may be used, and released, from any thread.
unsafe impl Send for Graph {}
// SAFETY: OrtApi::Run is safe to call on one session from many threads at once.
unsafe impl Sync for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: the session was made by CreateSession and is released once.
        unsafe { (self.runtime.api.ReleaseSession)(self.session) };
    }
}

struct Options<'a>(&'a OrtApi, *mut OrtSessionOptions);

impl Drop for Options<'_> {
    fn drop(&mut self) {
        // SAFETY: made by CreateSessionOptions, released once.
        unsafe { (self.0.ReleaseSessionOptions)(self.1) };
    }
}

impl Graph {
    /// The graph of a model file. Without `ours` operators where they refuse a node, and with those of the library that
    /// was named where the graph has operators that are not ONNX Runtime's.
    pub fn open(
        runtime: &'static Runtime,
        content: &[u8],
        threads: usize,
        operators: Option<&Path>,
        ours: &'static Operators,
    ) -> Result<Graph, String> {
        let (mut own, mut named) = (runtime.own_operators.then_some(ours), None);
        loop {
            let opened = Graph::open_with(runtime, content, threads, named, own);
            let Err(reason) = opened else { return opened };
            if own.is_some() && ours.names.iter().any(|name| reason.contains(name)) {
                own = None;
            } else if named.is_none() && reason.contains(STRANGE) {
                named = Some(operators.ok_or_else(|| format!("{reason}. {NO_OPERATORS}"))?);
            } else {
                return Err(reason);
            }
        }
    }

    fn open_with(
        runtime: &'static Runtime,
        content: &[u8],
        threads: usize,
        operators: Option<&Path>,
        own: Option<&'static Operators>,
    ) -> Result<Graph, String> {
        let api = runtime.api;
        let mut options = ptr::null_mut();
        // SAFETY: the out-pointer is valid.
        check(api, unsafe { (api.CreateSessionOptions)(&mut options) })?;
        let options = Options(api, options);
        let (spinning, off) = (c"session.intra_op.allow_spinning", c"0");
        // SAFETY: the options are valid and the texts are NUL-terminated.
        let settings = unsafe {
            [
                (api.SetIntraOpNumThreads)(options.1, threads as c_int),
                (api.SetInterOpNumThreads)(options.1, 1),
                // fatal only: everything else comes back as a status, and converters declare label shapes that
                // ONNX Runtime would warn of at each call
                (api.SetSessionLogSeverityLevel)(options.1, 4),
                (api.AddSessionConfigEntry)(options.1, spinning.as_ptr(), off.as_ptr()),
                // patterns are kept for each number of rows, and filters leave any number
                (api.DisableMemPattern)(options.1),
                // the arena has one lock for all threads, and never gives memory back
                (api.DisableCpuMemArena)(options.1),
            ]
        };
        settings.into_iter().try_for_each(|status| check(api, status))?;
        if let Some(library) = operators {
            let library = CString::new(library.as_os_str().as_encoded_bytes()).map_err(|e| e.to_string())?;
            // SAFETY: the options are valid; loading the library is what the user asked for by naming it.
            check(api, unsafe { (api.RegisterCustomOpsLibrary_V2)(options.1, library.as_ptr().cast()) })?;
        }
        if let Some(own) = own {
            // SAFETY: the options are valid, and the runtime takes these operators.
            unsafe { operators::register(api, options.1, own) }?;
        }
        let mut session = ptr::null_mut();
        // SAFETY: environment, content and options are valid; the out-pointer too. ONNX Runtime copies what it keeps.
        let status = unsafe {
            let (bytes, length) = (content.as_ptr().cast(), content.len());
            (api.CreateSessionFromArray)(runtime.env, bytes, length, options.1, &mut session)
        };
        check(api, status)?;
        Ok(Graph { runtime, session, own_operators: own.is_some() })
    }

    /// Whether trees are computed here, and not by ONNX Runtime.
    pub fn has_own_operators(&self) -> bool {
        self.own_operators
    }

    /// The outputs by name, copied out of ONNX Runtime's memory.
    pub fn run(&self, feeds: &[Feed], outputs: &[&CStr], options: &RunOptions) -> Result<Vec<Tensor>, String> {
        let runtime = self.runtime;
        let inputs = feeds.iter().map(|feed| Value::of(runtime, feed)).collect::<Result<Vec<_>, _>>()?;
        let input_names: Vec<*const c_char> = feeds.iter().map(|feed| feed.name.as_ptr()).collect();
        let input_values: Vec<*const OrtValue> = inputs.iter().map(|value| value.raw.cast_const()).collect();
        let output_names: Vec<*const c_char> = outputs.iter().map(|name| name.as_ptr()).collect();
        let mut answers = vec![ptr::null_mut(); outputs.len()];
        // SAFETY: all arrays have the lengths given; the inputs outlive the call and are not written.
        let status = unsafe {
            (runtime.api.Run)(
                self.session,
                options.options,
                input_names.as_ptr(),
                input_values.as_ptr(),
                inputs.len(),
                output_names.as_ptr(),
                output_names.len(),
                answers.as_mut_ptr(),
            )
        };
        let answers: Vec<Value> = answers.into_iter().map(|raw| Value { runtime, raw }).collect();
        check(runtime.api, status)?;
        answers.iter().map(Value::tensor).collect()
    }
}
