//! Operators that ONNX Runtime is given in place of its own: decision trees.
//!
//! A custom operator of the same domain and name goes before the built-in one. So a model file stays what it was, runs
//! anywhere, and runs faster here; a form of it that is not known here makes opening the session fail, and it is then
//! opened without. The Python package registers the same operators by `RegisterCustomOps`.

use std::ffi::{CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use ort_sys::{
    ONNXTensorElementDataType as Element, OrtApi, OrtApiBase, OrtCustomOp, OrtCustomOpDomain,
    OrtCustomOpInputOutputCharacteristic as Characteristic, OrtErrorCode, OrtKernelContext, OrtKernelInfo, OrtMemType,
    OrtSessionOptions, OrtStatusPtr,
};

use super::attributes::{Attributes, Precision};
use super::cpu;
use super::onnxruntime::{check, facts};
use crate::core::trees::{Answer, Kernel};

/// The first version of ONNX Runtime that tells a kernel its lists of texts.
pub const SINCE: u32 = 25;
/// What the names of the operators have in common, and so each error that concerns them.
pub const NAMES: &str = "TreeEnsemble";
/// The form of `OrtCustomOp` that is filled here.
const FORM: u32 = 17;
/// Rows that one thread of a pool takes at a time.
const ROWS_PER_TASK: usize = 512;

/// Called by ONNX Runtime for `SessionOptions.register_custom_ops_library`.
///
/// # Safety
/// To be called by ONNX Runtime, with options and its own API.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub unsafe extern "C" fn RegisterCustomOps(options: *mut OrtSessionOptions, base: *const OrtApiBase) -> OrtStatusPtr {
    // SAFETY: promised by the caller; a version that is not supported gives null.
    let Some(api) = (unsafe { base.as_ref().and_then(|base| (base.GetApi)(SINCE).as_ref()) }) else {
        return OrtStatusPtr::default();
    };
    // SAFETY: the options are valid, as the caller promises.
    match guarded(|| unsafe { register(api, options) }) {
        Ok(()) => OrtStatusPtr::default(),
        Err(reason) => status(api, &reason),
    }
}

struct Domain {
    runtime: *const OrtApi,
    domain: *mut OrtCustomOpDomain,
}

// SAFETY: a domain is not changed once it is made, and may be used from any thread.
unsafe impl Send for Domain {}

/// One for each runtime in this process; they live as long as it.
static DOMAINS: Mutex<Vec<Domain>> = Mutex::new(Vec::new());

/// Let sessions with these options use the operators.
///
/// # Safety
/// The options must be valid, and the API of version `SINCE` or later.
pub unsafe fn register(api: &'static OrtApi, options: *mut OrtSessionOptions) -> Result<(), String> {
    let mut domains = DOMAINS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = domains.iter().find(|known| ptr::eq(known.runtime, api)).map(|known| known.domain);
    let domain = match known {
        Some(domain) => domain,
        None => {
            let domain = made(api)?;
            domains.push(Domain { runtime: api, domain });
            domain
        }
    };
    // SAFETY: the options are valid, as the caller promises, and the domain is never released.
    check(api, unsafe { (api.AddCustomOpDomain)(options, domain) })
}

fn made(api: &'static OrtApi) -> Result<*mut OrtCustomOpDomain, String> {
    let mut domain = ptr::null_mut();
    // SAFETY: the name is NUL-terminated and the out-pointer valid.
    check(api, unsafe { (api.CreateCustomOpDomain)(c"ai.onnx.ml".as_ptr(), &mut domain) })?;
    let operators = [
        operator::<f32, f32>(api, Version::Three),
        operator::<f64, f32>(api, Version::Three),
        operator::<f32, f32>(api, Version::Five),
        operator::<f64, f64>(api, Version::Five),
    ];
    for operator in operators {
        let operator: &'static Operator = Box::leak(Box::new(operator));
        // SAFETY: domain and operator are valid, and the operator is never freed.
        check(api, unsafe { (api.CustomOpDomain_Add)(domain, ptr::from_ref(operator).cast()) })?;
    }
    Ok(domain)
}

#[derive(Clone, Copy)]
enum Version {
    Three,
    Five,
}

/// ONNX Runtime gives its callbacks the address of `base`, which is that of the whole.
#[repr(C)]
struct Operator {
    base: OrtCustomOp,
    api: &'static OrtApi,
    version: Version,
    input: Element,
    output: Element,
}

/// What computes one node of a graph.
struct Node<T> {
    kernel: Kernel<T>,
    api: &'static OrtApi,
}

/// Trees over rows of `T` that answer `A`.
fn operator<T: Precision, A: Precision + Answer<T>>(api: &'static OrtApi, version: Version) -> Operator {
    let base = OrtCustomOp {
        version: FORM,
        CreateKernel: None,
        GetName: Some(name),
        GetExecutionProviderType: Some(provider),
        GetInputType: Some(input_type),
        GetInputTypeCount: Some(one),
        GetOutputType: Some(output_type),
        GetOutputTypeCount: Some(one),
        KernelCompute: None,
        KernelDestroy: Some(destroy::<T>),
        GetInputCharacteristic: Some(required),
        GetOutputCharacteristic: Some(required),
        GetInputMemoryType: Some(memory),
        GetVariadicInputMinArity: None,
        GetVariadicInputHomogeneity: None,
        GetVariadicOutputMinArity: None,
        GetVariadicOutputHomogeneity: None,
        CreateKernelV2: Some(create::<T>),
        KernelComputeV2: Some(compute::<T, A>),
        InferOutputShapeFn: None,
        GetStartVersion: Some(first_version),
        GetEndVersion: Some(last_version),
        GetMayInplace: None,
        ReleaseMayInplace: None,
        GetAliasMap: None,
        ReleaseAliasMap: None,
    };
    Operator { base, api, version, input: T::ELEMENT, output: A::ELEMENT }
}

/// # Safety
/// `operator` must be one of those made here.
unsafe fn own<'a>(operator: *const OrtCustomOp) -> &'a Operator {
    // SAFETY: promised by the caller; `base` is the first field.
    unsafe { &*operator.cast::<Operator>() }
}

unsafe extern "system" fn name(operator: *const OrtCustomOp) -> *const c_char {
    // SAFETY: ONNX Runtime passes what it was given.
    match unsafe { own(operator) }.version {
        Version::Three => c"TreeEnsembleRegressor".as_ptr(),
        Version::Five => c"TreeEnsemble".as_ptr(),
    }
}

unsafe extern "system" fn provider(_: *const OrtCustomOp) -> *const c_char {
    c"CPUExecutionProvider".as_ptr()
}

unsafe extern "system" fn one(_: *const OrtCustomOp) -> usize {
    1
}

unsafe extern "system" fn input_type(operator: *const OrtCustomOp, _: usize) -> Element {
    // SAFETY: ONNX Runtime passes what it was given.
    unsafe { own(operator) }.input
}

unsafe extern "system" fn output_type(operator: *const OrtCustomOp, _: usize) -> Element {
    // SAFETY: ONNX Runtime passes what it was given.
    unsafe { own(operator) }.output
}

unsafe extern "system" fn required(_: *const OrtCustomOp, _: usize) -> Characteristic {
    Characteristic::INPUT_OUTPUT_REQUIRED
}

unsafe extern "system" fn memory(_: *const OrtCustomOp, _: usize) -> OrtMemType {
    OrtMemType::OrtMemTypeDefault
}

unsafe extern "system" fn first_version(_: *const OrtCustomOp) -> i32 {
    1
}

unsafe extern "system" fn last_version(_: *const OrtCustomOp) -> i32 {
    i32::MAX
}

unsafe extern "system" fn create<T: Precision>(
    operator: *const OrtCustomOp,
    _: *const OrtApi,
    info: *const OrtKernelInfo,
    kernel: *mut *mut c_void,
) -> OrtStatusPtr {
    // SAFETY: ONNX Runtime passes what it was given.
    let own = unsafe { own(operator) };
    let made = guarded(|| {
        // SAFETY: the info is valid during this call.
        let attributes = unsafe { Attributes::of(own.api, info) }?;
        let ensemble = match own.version {
            Version::Three => attributes.version_3::<T>()?,
            Version::Five => attributes.version_5::<T>()?,
        };
        let kernel = Kernel::of(&ensemble).ok_or("the trees are too large")?;
        Ok(Box::new(Node { kernel, api: own.api }))
    });
    match made {
        Ok(node) => {
            // SAFETY: the out-pointer is valid; `destroy` takes the node back.
            unsafe { *kernel = Box::into_raw(node).cast() };
            OrtStatusPtr::default()
        }
        Err(reason) => status(own.api, &reason),
    }
}

unsafe extern "system" fn destroy<T>(node: *mut c_void) {
    // SAFETY: made by `create` for the same T, and given back once.
    drop(unsafe { Box::from_raw(node.cast::<Node<T>>()) });
}

unsafe extern "system" fn compute<T: Precision, A: Precision + Answer<T>>(
    node: *mut c_void,
    context: *mut OrtKernelContext,
) -> OrtStatusPtr {
    // SAFETY: made by `create` for the same T, and alive during this call; it is only read.
    let node = unsafe { &*node.cast::<Node<T>>() };
    // SAFETY: the context is valid during this call.
    match guarded(|| unsafe { run::<T, A>(node, context) }) {
        Ok(()) => OrtStatusPtr::default(),
        Err(reason) => status(node.api, &reason),
    }
}

/// # Safety
/// The context must be that of a run of the node.
unsafe fn run<T: Precision, A: Precision + Answer<T>>(
    node: &Node<T>,
    context: *mut OrtKernelContext,
) -> Result<(), String> {
    let (api, kernel) = (node.api, &node.kernel);
    let mut input = ptr::null();
    // SAFETY: the node has an input, and the out-pointer is valid.
    check(api, unsafe { (api.KernelContext_GetInput)(context, 0, &mut input) })?;
    let (shape, _) = facts(api, input)?;
    let (count, width) = match shape[..] {
        [width] => (1, width),
        [count, width] => (count, width),
        _ => return Err(format!("trees take rows of numbers, not a tensor of shape {shape:?}")),
    };
    if width < kernel.features {
        return Err(format!("the trees look at {} features, given are {width}", kernel.features));
    }
    let shape = [count as i64, kernel.targets as i64];
    let mut output = ptr::null_mut();
    // SAFETY: the node has an output; shape and out-pointer are valid.
    check(api, unsafe { (api.KernelContext_GetOutput)(context, 0, shape.as_ptr(), shape.len(), &mut output) })?;
    let (mut rows, mut answers) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: input and output are tensors; the input is not written.
    check(api, unsafe { (api.GetTensorMutableData)(input.cast_mut(), &mut rows) })?;
    // SAFETY: as above.
    check(api, unsafe { (api.GetTensorMutableData)(output, &mut answers) })?;
    if count == 0 || kernel.targets == 0 {
        return Ok(());
    }
    // SAFETY: the tensors hold as many values of these types, at an alignment of 64 bytes, and do not overlap.
    let (rows, answers) = unsafe {
        (
            std::slice::from_raw_parts(rows.cast::<T>(), count * width),
            std::slice::from_raw_parts_mut(answers.cast::<A>(), count * kernel.targets),
        )
    };
    if count <= ROWS_PER_TASK {
        cpu::widest(Scoring { kernel, rows, width, answers });
        return Ok(());
    }
    let tasks = Tasks::<T, A> { kernel, width, rows, answers: answers.as_mut_ptr() };
    let total = count.div_ceil(ROWS_PER_TASK);
    // SAFETY: the tasks outlive the call, which returns when all of them are done.
    check(api, unsafe {
        (api.KernelContext_ParallelFor)(context, task::<T, A>, total, 0, ptr::from_ref(&tasks).cast_mut().cast())
    })
}

struct Scoring<'a, T, A> {
    kernel: &'a Kernel<T>,
    rows: &'a [T],
    width: usize,
    answers: &'a mut [A],
}

impl<T: Precision, A: Answer<T>> cpu::Work for Scoring<'_, T, A> {
    #[inline(always)]
    fn run(self) {
        self.kernel.score(self.rows, self.width, self.answers);
    }
}

/// The rows of a run, in parts that the threads of the session take.
struct Tasks<'a, T, A> {
    kernel: &'a Kernel<T>,
    width: usize,
    rows: &'a [T],
    answers: *mut A,
}

unsafe extern "C" fn task<T: Precision, A: Precision + Answer<T>>(tasks: *mut c_void, number: usize) {
    // SAFETY: `run` passes these tasks, which are alive; they are only read.
    let tasks = unsafe { &*tasks.cast::<Tasks<T, A>>() };
    let (width, targets) = (tasks.width, tasks.kernel.targets);
    let first = number * ROWS_PER_TASK;
    let count = ROWS_PER_TASK.min(tasks.rows.len() / width.max(1) - first);
    let rows = &tasks.rows[first * width..(first + count) * width];
    // SAFETY: the rows of a task are its own, and the answers have room for all of them.
    let answers = unsafe { std::slice::from_raw_parts_mut(tasks.answers.add(first * targets), count * targets) };
    // indices are in bounds by construction; should one not be, that must not unwind into ONNX Runtime
    let _ = catch_unwind(AssertUnwindSafe(|| cpu::widest(Scoring { kernel: tasks.kernel, rows, width, answers })));
}

/// No panic may leave a callback.
fn guarded<R>(work: impl FnOnce() -> Result<R, String>) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("sqlinfer: an internal error".to_string()))
}

/// A graph that is refused for its trees is opened without these operators: the text says that it was for those.
fn status(api: &OrtApi, reason: &str) -> OrtStatusPtr {
    let text = CString::new(format!("{NAMES}: {reason}").replace('\0', " ")).unwrap_or_default();
    // SAFETY: the text is NUL-terminated and copied.
    unsafe { (api.CreateStatus)(OrtErrorCode::ORT_FAIL, text.as_ptr()) }
}
