//! ONNX Runtime through its C API: found and loaded at run time, with safe faces for sessions and tensors.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ops::Range;
use std::path::Path;
use std::ptr;

use libloading::Library;
use ort_sys::{
    ONNXTensorElementDataType as Element, ONNXType, OrtAllocatorType, OrtApi, OrtApiBase, OrtEnv, OrtLoggingLevel,
    OrtMemType, OrtMemoryInfo, OrtRunOptions, OrtSession, OrtSessionOptions, OrtStatusPtr, OrtTensorTypeAndShapeInfo,
    OrtValue,
};

use super::operators;
use crate::core::tensor::{Buffer, Tensor, Texts};
use crate::on_buffer;

const OLDEST: u32 = 17;

/// The library, loaded once for the life of the process.
pub struct Runtime {
    api: &'static OrtApi,
    /// Whether it takes the operators that are computed here.
    own_operators: bool,
    env: *mut OrtEnv,
    cpu: *mut OrtMemoryInfo,
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
        let whole = supports(base, operators::SINCE);
        // SAFETY: `base` is valid; a version that is not supported gives null.
        let table = unsafe { (base.GetApi)(if whole { operators::SINCE } else { OLDEST }) };
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
    options: *mut OrtRunOptions,
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

fn version_of(base: &OrtApiBase) -> String {
    // SAFETY: GetVersionString gives static text.
    unsafe { CStr::from_ptr((base.GetVersionString)()) }.to_string_lossy().into_owned()
}

/// Whether the runtime has this version of the API. Asked for one that it has not, it would print that.
pub fn supports(base: &OrtApiBase, api: u32) -> bool {
    let version = version_of(base);
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(1), Some(api))
}

/// An older table of functions as a whole one: those that it lacks answer with an error.
///
/// # Safety
/// `old` must point to a table of version `OLDEST` or later.
unsafe fn complete(old: *const OrtApi) -> OrtApi {
    let mut whole = ort_sys::stub::api();
    let known = std::mem::offset_of!(OrtApi, SessionOptionsAppendExecutionProvider_VitisAI); // the first of version 18
    // SAFETY: the caller promises that the first `known` bytes are there; both tables begin alike.
    unsafe { ptr::copy_nonoverlapping(old.cast::<u8>(), ptr::from_mut(&mut whole).cast::<u8>(), known) };
    whole
}

fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Ok, or what ONNX Runtime says went wrong.
pub fn check(api: &OrtApi, status: OrtStatusPtr) -> Result<(), String> {
    if status.0.is_null() {
        return Ok(());
    }
    // SAFETY: the status is not null; its message lives until it is released.
    let message = unsafe { CStr::from_ptr((api.GetErrorMessage)(status.0)) }.to_string_lossy().into_owned();
    // SAFETY: the status is ours and not used afterwards.
    unsafe { (api.ReleaseStatus)(status.0) };
    Err(message)
}

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

fn names_own(reason: &str) -> bool {
    operators::NAMES.iter().any(|name| reason.contains(name))
}

/// One input of a run: `values` of the buffer, as a tensor of `shape`.
pub struct Feed<'a> {
    pub name: &'a CStr,
    pub buffer: &'a Buffer,
    pub values: Range<usize>,
    pub shape: Vec<i64>,
}

struct Options<'a>(&'a OrtApi, *mut OrtSessionOptions);

impl Drop for Options<'_> {
    fn drop(&mut self) {
        // SAFETY: made by CreateSessionOptions, released once.
        unsafe { (self.0.ReleaseSessionOptions)(self.1) };
    }
}

impl Graph {
    /// The graph of a model file. Without our own operators where they refuse a node, and with those of the library that
    /// was named where the graph has operators that are not ONNX Runtime's.
    pub fn open(
        runtime: &'static Runtime,
        content: &[u8],
        threads: usize,
        operators: Option<&Path>,
    ) -> Result<Graph, String> {
        let (mut own, mut named) = (runtime.own_operators, None);
        loop {
            let opened = Graph::open_with(runtime, content, threads, named, own);
            let Err(reason) = opened else { return opened };
            if own && names_own(&reason) {
                own = false;
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
        own_operators: bool,
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
        if own_operators {
            // SAFETY: the options are valid, and the runtime takes these operators.
            unsafe { operators::register(api, options.1) }?;
        }
        let mut session = ptr::null_mut();
        // SAFETY: environment, content and options are valid; the out-pointer too. ONNX Runtime copies what it keeps.
        let status = unsafe {
            let (bytes, length) = (content.as_ptr().cast(), content.len());
            (api.CreateSessionFromArray)(runtime.env, bytes, length, options.1, &mut session)
        };
        check(api, status)?;
        Ok(Graph { runtime, session, own_operators })
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

struct Value {
    runtime: &'static Runtime,
    raw: *mut OrtValue,
}

impl Drop for Value {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: the value is ours and is released once.
            unsafe { (self.runtime.api.ReleaseValue)(self.raw) };
        }
    }
}

impl Value {
    /// Numbers are lent to ONNX Runtime, texts are copied; the feed must outlive the value.
    fn of(runtime: &'static Runtime, feed: &Feed) -> Result<Value, String> {
        if let Buffer::Text(texts) = feed.buffer {
            return Value::of_texts(runtime, texts, feed);
        }
        fn part<T>(values: &[T], range: &Range<usize>) -> (*const c_void, usize) {
            let part = &values[range.clone()];
            (part.as_ptr().cast(), size_of_val(part))
        }
        let element = element(feed.buffer);
        let (data, bytes) = on_buffer!(feed.buffer, v => part(v, &feed.values), t => part(&t.bytes, &(0..0)));
        let mut value = Value { runtime, raw: ptr::null_mut() };
        // SAFETY: the data has `bytes` bytes of the element type, which the shape covers, or ONNX Runtime refuses it;
        // inputs are only read, and the buffer outlives the value.
        let status = unsafe {
            (runtime.api.CreateTensorWithDataAsOrtValue)(
                runtime.cpu,
                data.cast_mut(),
                bytes,
                feed.shape.as_ptr(),
                feed.shape.len(),
                element,
                &mut value.raw,
            )
        };
        check(runtime.api, status)?;
        Ok(value)
    }

    fn of_texts(runtime: &'static Runtime, texts: &Texts, feed: &Feed) -> Result<Value, String> {
        let api = runtime.api;
        let mut allocator = ptr::null_mut();
        // SAFETY: the out-pointer is valid; the default allocator lives as long as the library.
        check(api, unsafe { (api.GetAllocatorWithDefaultOptions)(&mut allocator) })?;
        let mut value = Value { runtime, raw: ptr::null_mut() };
        // SAFETY: allocator, shape and out-pointer are valid.
        let status = unsafe {
            (api.CreateTensorAsOrtValue)(
                allocator,
                feed.shape.as_ptr(),
                feed.shape.len(),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
                &mut value.raw,
            )
        };
        check(api, status)?;
        for (i, cell) in feed.values.clone().enumerate() {
            let text = texts.get(cell);
            let mut place: *mut c_char = ptr::null_mut();
            // SAFETY: `i` is below the number of elements, which the shape gives; the buffer that comes back has
            // room for `text.len()` bytes.
            unsafe {
                check(api, (api.GetResizedStringTensorElementBuffer)(value.raw, i, text.len(), &mut place))?;
                ptr::copy_nonoverlapping(text.as_ptr(), place.cast(), text.len());
            }
        }
        Ok(value)
    }

    fn tensor(&self) -> Result<Tensor, String> {
        let api = self.runtime.api;
        let mut kind = ONNXType::ONNX_TYPE_UNKNOWN;
        // SAFETY: the value and the out-pointer are valid.
        check(api, unsafe { (api.GetValueType)(self.raw, &mut kind) })?;
        if kind != ONNXType::ONNX_TYPE_TENSOR {
            return Err("an output is not a tensor".to_string());
        }
        let (shape, element) = facts(api, self.raw)?;
        let count = product(&shape)?;
        let data = match element {
            Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING => Buffer::Text(self.texts(count)?),
            _ => self.numbers(element, count)?,
        };
        Ok(Tensor { shape, data })
    }

    fn numbers(&self, element: Element, count: usize) -> Result<Buffer, String> {
        let mut data: *mut c_void = ptr::null_mut();
        // SAFETY: the value is a tensor of numbers and the out-pointer is valid.
        check(self.runtime.api, unsafe { (self.runtime.api.GetTensorMutableData)(self.raw, &mut data) })?;
        /// # Safety
        /// `data` must hold `count` values of the type, unless `count` is 0.
        unsafe fn copied<T: Copy>(data: *const c_void, count: usize) -> Vec<T> {
            if count == 0 {
                return Vec::new();
            }
            // SAFETY: promised by the caller; ONNX Runtime aligns tensors to 64 bytes.
            unsafe { std::slice::from_raw_parts(data.cast::<T>(), count) }.to_vec()
        }
        // SAFETY: ONNX Runtime says that the tensor holds `count` elements of this type.
        Ok(unsafe {
            match element {
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT => Buffer::F32(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE => Buffer::F64(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16 => Buffer::F16(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16 => Buffer::Bf16(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8 => Buffer::I8(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16 => Buffer::I16(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 => Buffer::I32(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 => Buffer::I64(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 => Buffer::U8(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16 => Buffer::U16(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32 => Buffer::U32(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64 => Buffer::U64(copied(data, count)),
                Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL => Buffer::Bool(copied(data, count)),
                _ => return Err("an output has an element type that SQL does not have".to_string()),
            }
        })
    }

    fn texts(&self, count: usize) -> Result<Texts, String> {
        let api = self.runtime.api;
        let mut length = 0;
        // SAFETY: the value is a tensor of texts and the out-pointer is valid.
        check(api, unsafe { (api.GetStringTensorDataLength)(self.raw, &mut length) })?;
        let mut bytes = vec![0u8; length];
        let mut starts = vec![0usize; count];
        // SAFETY: both buffers have the lengths given.
        let status = unsafe {
            (api.GetStringTensorContent)(self.raw, bytes.as_mut_ptr().cast(), length, starts.as_mut_ptr(), count)
        };
        check(api, status)?;
        let ends = starts.iter().skip(1).copied().chain([length]);
        let cells = starts.iter().zip(ends).map(|(start, end)| (*start, end - start)).collect();
        Ok(Texts { bytes, cells })
    }
}

/// The shape and the type of a tensor.
pub fn facts(api: &OrtApi, tensor: *const OrtValue) -> Result<(Vec<usize>, Element), String> {
    let mut info: *mut OrtTensorTypeAndShapeInfo = ptr::null_mut();
    // SAFETY: the value is a tensor and the out-pointer is valid.
    check(api, unsafe { (api.GetTensorTypeAndShape)(tensor, &mut info) })?;
    let mut element = Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    let mut rank = 0;
    let mut shape: Vec<i64> = Vec::new();
    // SAFETY: `info` is valid until it is released below; `shape` has room for `rank` numbers.
    let statuses = unsafe {
        let first = [(api.GetTensorElementType)(info, &mut element), (api.GetDimensionsCount)(info, &mut rank)];
        shape.resize(rank, 0);
        let last = (api.GetDimensions)(info, shape.as_mut_ptr(), rank);
        (api.ReleaseTensorTypeAndShapeInfo)(info);
        first.into_iter().chain([last])
    };
    statuses.into_iter().map(|status| check(api, status)).collect::<Vec<_>>().into_iter().collect::<Result<(), _>>()?;
    let lengths: Result<Vec<usize>, _> = shape.iter().map(|length| usize::try_from(*length)).collect();
    Ok((lengths.map_err(|_| format!("a tensor of shape {shape:?}"))?, element))
}

/// How many values a tensor of this shape has.
pub fn product(shape: &[usize]) -> Result<usize, String> {
    if shape.contains(&0) {
        return Ok(0);
    }
    let product = shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length));
    product.ok_or_else(|| format!("a tensor of shape {shape:?} has more values than can be counted"))
}

fn element(buffer: &Buffer) -> Element {
    match buffer {
        Buffer::F32(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        Buffer::F64(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
        Buffer::F16(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        Buffer::Bf16(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
        Buffer::I8(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        Buffer::I16(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,
        Buffer::I32(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        Buffer::I64(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        Buffer::U8(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        Buffer::U16(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16,
        Buffer::U32(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
        Buffer::U64(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64,
        Buffer::Bool(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        Buffer::Text(_) => Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING,
    }
}
