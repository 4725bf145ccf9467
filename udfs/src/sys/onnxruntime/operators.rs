//! Operators that ONNX Runtime is given in place of its own.
//!
//! A custom operator of the same domain and name goes before the built-in one. So a model file stays what it was, runs
//! anywhere, and runs faster here; a form of it that is not known here makes opening the session fail, and it is then
//! opened without.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use ort_sys::{
    ONNXTensorElementDataType, OrtApi, OrtApiBase, OrtCustomOp, OrtCustomOpDomain,
    OrtCustomOpInputOutputCharacteristic as Characteristic, OrtErrorCode, OrtKernelContext, OrtKernelInfo, OrtMemType,
    OrtSessionOptions, OrtStatusPtr,
};

use super::api::{check, facts, product, supports};
use super::attributes::{Attributes, Element};
use crate::sys::caught::guard;
use crate::sys::cpu;
use crate::sys::error::Error;

/// The first version of ONNX Runtime that tells a kernel its lists of texts.
pub const SINCE: u32 = 25;
/// The form of `OrtCustomOp` that is filled here.
const FORM: u32 = 17;
/// Rows that one thread of a pool takes at a time.
const ROWS_PER_TASK: usize = 512;

/// Register the operators for a session, as `RegisterCustomOps` is asked to; a runtime that is too old goes without.
///
/// # Safety
/// The options must be valid, and `base` null or ONNX Runtime's.
pub unsafe fn register_in(
    options: *mut OrtSessionOptions,
    base: *const OrtApiBase,
    own: &'static Operators,
) -> OrtStatusPtr {
    // SAFETY: promised by the caller.
    let base = unsafe { base.as_ref() }.filter(|base| supports(base, SINCE));
    // SAFETY: a table of functions that is not null lives for ever.
    let Some(api) = base.and_then(|base| unsafe { (base.GetApi)(SINCE).as_ref() }) else {
        return OrtStatusPtr::default();
    };
    // SAFETY: the options are valid, as the caller promises.
    let registered = guarded(|| unsafe { register(api, options, own) });
    registered.map_or_else(|reason| status(api, &reason), |()| OrtStatusPtr::default())
}

/// Operators that are computed here.
pub struct Operators {
    /// What errors that concern them speak of.
    pub names: &'static [&'static str],
    pub all: &'static [fn(&'static OrtApi) -> Operator],
}

struct Domain {
    runtime: *const OrtApi,
    own: *const Operators,
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
pub unsafe fn register(
    api: &'static OrtApi,
    options: *mut OrtSessionOptions,
    own: &'static Operators,
) -> Result<(), String> {
    let mut domains = DOMAINS.lock().unwrap_or_else(PoisonError::into_inner);
    let known =
        domains.iter().find(|known| ptr::eq(known.runtime, api) && ptr::eq(known.own, own)).map(|known| known.domain);
    let domain = match known {
        Some(domain) => domain,
        None => {
            let domain = made(api, own)?;
            domains.push(Domain { runtime: api, own, domain });
            domain
        }
    };
    // SAFETY: the options are valid, as the caller promises, and the domain is never released.
    check(api, unsafe { (api.AddCustomOpDomain)(options, domain) })
}

fn made(api: &'static OrtApi, own: &Operators) -> Result<*mut OrtCustomOpDomain, String> {
    let mut domain = ptr::null_mut();
    // SAFETY: the name is NUL-terminated and the out-pointer valid.
    check(api, unsafe { (api.CreateCustomOpDomain)(c"ai.onnx.ml".as_ptr(), &mut domain) })?;
    for operator in own.all {
        let operator: &'static Operator = Box::leak(Box::new(operator(api)));
        // SAFETY: domain and operator are valid, and the operator is never freed.
        check(api, unsafe { (api.CustomOpDomain_Add)(domain, ptr::from_ref(operator).cast()) })?;
    }
    Ok(domain)
}

/// What computes a node of a graph: rows of numbers in, rows of numbers out.
pub trait Computation: Send + Sync + Sized + 'static {
    type Input: Element;
    type Output: Element;

    /// Values that a row must have at least.
    fn features(&self) -> usize;
    fn targets(&self) -> usize;
    /// `rows` are [n, width] and `answers` [n, targets], both row by row; to be inlined.
    fn score(&self, rows: &[Self::Input], width: usize, answers: &mut [Self::Output]);
}

/// An operator of the standard, by its name and what its attributes become.
pub trait Standard: 'static {
    type Node: Computation;
    const NAME: &CStr;

    fn node(attributes: &Attributes) -> Result<Self::Node, String>;
}

/// ONNX Runtime gives its callbacks the address of `base`, which is that of the whole.
#[repr(C)]
pub struct Operator {
    base: OrtCustomOp,
    api: &'static OrtApi,
}

/// A node of a graph that is loaded.
struct Node<C> {
    computation: C,
    api: &'static OrtApi,
}

pub fn operator<S: Standard>(api: &'static OrtApi) -> Operator {
    let base = OrtCustomOp {
        version: FORM,
        CreateKernel: None,
        GetName: Some(name::<S>),
        GetExecutionProviderType: Some(provider),
        GetInputType: Some(input_type::<S::Node>),
        GetInputTypeCount: Some(one),
        GetOutputType: Some(output_type::<S::Node>),
        GetOutputTypeCount: Some(one),
        KernelCompute: None,
        KernelDestroy: Some(destroy::<S::Node>),
        GetInputCharacteristic: Some(required),
        GetOutputCharacteristic: Some(required),
        GetInputMemoryType: Some(memory),
        GetVariadicInputMinArity: None,
        GetVariadicInputHomogeneity: None,
        GetVariadicOutputMinArity: None,
        GetVariadicOutputHomogeneity: None,
        CreateKernelV2: Some(create::<S>),
        KernelComputeV2: Some(compute::<S::Node>),
        InferOutputShapeFn: None,
        GetStartVersion: Some(first_version),
        GetEndVersion: Some(last_version),
        GetMayInplace: None,
        ReleaseMayInplace: None,
        GetAliasMap: None,
        ReleaseAliasMap: None,
    };
    Operator { base, api }
}

unsafe extern "system" fn name<S: Standard>(_: *const OrtCustomOp) -> *const c_char {
    S::NAME.as_ptr()
}

unsafe extern "system" fn provider(_: *const OrtCustomOp) -> *const c_char {
    c"CPUExecutionProvider".as_ptr()
}

unsafe extern "system" fn one(_: *const OrtCustomOp) -> usize {
    1
}

unsafe extern "system" fn input_type<C: Computation>(_: *const OrtCustomOp, _: usize) -> ONNXTensorElementDataType {
    C::Input::TYPE
}

unsafe extern "system" fn output_type<C: Computation>(_: *const OrtCustomOp, _: usize) -> ONNXTensorElementDataType {
    C::Output::TYPE
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

unsafe extern "system" fn create<S: Standard>(
    operator: *const OrtCustomOp,
    _: *const OrtApi,
    info: *const OrtKernelInfo,
    kernel: *mut *mut c_void,
) -> OrtStatusPtr {
    let made = guarded(|| {
        // SAFETY: ONNX Runtime passes an operator that was made here; `base` is its first field.
        let api = unsafe { &*operator.cast::<Operator>() }.api;
        // SAFETY: the info is valid during this call.
        let attributes = unsafe { Attributes::of(api, info) }?;
        let node = Box::new(Node { computation: S::node(&attributes)?, api });
        // SAFETY: the out-pointer is valid; `destroy` takes the node back.
        unsafe { *kernel = Box::into_raw(node).cast() };
        Ok(())
    });
    match made {
        Ok(()) => OrtStatusPtr::default(),
        // SAFETY: as above.
        Err(reason) => status(unsafe { &*operator.cast::<Operator>() }.api, &in_words::<S>(&reason)),
    }
}

unsafe extern "system" fn destroy<C>(node: *mut c_void) {
    let _ = guarded(|| {
        // SAFETY: made by `create` for the same computation, and given back once.
        drop(unsafe { Box::from_raw(node.cast::<Node<C>>()) });
        Ok(())
    });
}

unsafe extern "system" fn compute<C: Computation>(node: *mut c_void, context: *mut OrtKernelContext) -> OrtStatusPtr {
    // SAFETY: the node was made by `create` for the same computation, and is alive during this call, as the context is; it
    // is only read.
    match guarded(|| unsafe { run(&*node.cast::<Node<C>>(), context) }) {
        Ok(()) => OrtStatusPtr::default(),
        // SAFETY: as above.
        Err(reason) => status(unsafe { &*node.cast::<Node<C>>() }.api, &reason),
    }
}

/// # Safety
/// The context must be that of a run of the node.
unsafe fn run<C: Computation>(node: &Node<C>, context: *mut OrtKernelContext) -> Result<(), String> {
    let (api, computation) = (node.api, &node.computation);
    let targets = computation.targets();
    let mut input = ptr::null();
    // SAFETY: the node has an input, and the out-pointer is valid.
    check(api, unsafe { (api.KernelContext_GetInput)(context, 0, &mut input) })?;
    let (shape, _) = facts(api, input)?;
    let (count, width) = match shape[..] {
        [width] => (1, width),
        [count, width] => (count, width),
        _ => return Err(format!("it takes rows of numbers, not a tensor of shape {shape:?}")),
    };
    if width < computation.features() {
        return Err(format!("it looks at {} features, given are {width}", computation.features()));
    }
    let shape = [count, targets].map(|length| i64::try_from(length).unwrap_or(i64::MAX));
    let mut output = ptr::null_mut();
    // SAFETY: the node has an output; shape and out-pointer are valid.
    check(api, unsafe { (api.KernelContext_GetOutput)(context, 0, shape.as_ptr(), shape.len(), &mut output) })?;
    let (mut rows, mut answers) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: input and output are tensors; the input is not written.
    check(api, unsafe { (api.GetTensorMutableData)(input.cast_mut(), &mut rows) })?;
    // SAFETY: as above.
    check(api, unsafe { (api.GetTensorMutableData)(output, &mut answers) })?;
    let (values, wanted) = (product(&[count, width])?, product(&[count, targets])?);
    if wanted == 0 {
        return Ok(());
    }
    // SAFETY: the tensors hold as many values of these types, at an alignment of 64 bytes, and do not overlap; of no
    // values the address may be null.
    let (rows, answers) = unsafe {
        let rows = if values == 0 { &[][..] } else { std::slice::from_raw_parts(rows.cast::<C::Input>(), values) };
        (rows, std::slice::from_raw_parts_mut(answers.cast::<C::Output>(), wanted))
    };
    if count <= ROWS_PER_TASK {
        cpu::widest(Scoring { computation, rows, width, answers });
        return Ok(());
    }
    let tasks = Tasks { computation, count, width, rows, answers: answers.as_mut_ptr(), failed: Mutex::new(None) };
    let total = count.div_ceil(ROWS_PER_TASK);
    // SAFETY: the tasks outlive the call, which returns when all of them are done.
    check(api, unsafe {
        (api.KernelContext_ParallelFor)(context, task::<C>, total, 0, ptr::from_ref(&tasks).cast_mut().cast())
    })?;
    tasks.failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

struct Scoring<'a, C: Computation> {
    computation: &'a C,
    rows: &'a [C::Input],
    width: usize,
    answers: &'a mut [C::Output],
}

impl<C: Computation> cpu::Work for Scoring<'_, C> {
    #[inline(always)]
    fn run(self) {
        self.computation.score(self.rows, self.width, self.answers);
    }
}

/// The rows of a run, in parts that the threads of the session take.
struct Tasks<'a, C: Computation> {
    computation: &'a C,
    count: usize,
    width: usize,
    rows: &'a [C::Input],
    answers: *mut C::Output,
    /// Why some answers were not written.
    failed: Mutex<Option<String>>,
}

unsafe extern "C" fn task<C: Computation>(tasks: *mut c_void, number: usize) {
    let scored = guarded(|| {
        // SAFETY: `run` passes these tasks, which are alive and only read.
        let tasks = unsafe { &*tasks.cast::<Tasks<C>>() };
        let Tasks { computation, width, .. } = *tasks;
        let targets = computation.targets();
        let first = number * ROWS_PER_TASK;
        let count = ROWS_PER_TASK.min(tasks.count - first);
        let rows = &tasks.rows[first * width..(first + count) * width];
        // SAFETY: the rows of a task are its own, and the answers have room for all `tasks.count` of them.
        let answers = unsafe { std::slice::from_raw_parts_mut(tasks.answers.add(first * targets), count * targets) };
        cpu::widest(Scoring { computation, rows, width, answers });
        Ok(())
    });
    if let Err(reason) = scored {
        // SAFETY: as above, and the mutex may be locked by any thread.
        let failed = unsafe { &(*tasks.cast::<Tasks<C>>()).failed };
        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }
}

fn guarded<R>(work: impl FnOnce() -> Result<R, String>) -> Result<R, String> {
    guard(|| work().map_err(Error::new)).map_err(|error| error.text)
}

fn in_words<S: Standard>(reason: &str) -> String {
    format!("{}: {reason}", S::NAME.to_string_lossy())
}

fn status(api: &OrtApi, reason: &str) -> OrtStatusPtr {
    let text = CString::new(reason.replace('\0', " ")).unwrap_or_default();
    // SAFETY: the text is NUL-terminated and copied.
    unsafe { (api.CreateStatus)(OrtErrorCode::ORT_FAIL, text.as_ptr()) }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The answers of the tasks of a run, or why there are none.
    pub fn in_tasks<C: Computation>(
        computation: &C,
        rows: &[C::Input],
        count: usize,
        width: usize,
    ) -> Result<Vec<C::Output>, String> {
        let mut answers = vec![C::Output::default(); count * computation.targets()];
        let mut tasks =
            Tasks { computation, count, width, rows, answers: answers.as_mut_ptr(), failed: Mutex::new(None) };
        for number in 0..count.div_ceil(ROWS_PER_TASK) {
            // SAFETY: the tasks are those of this computation, and the answers have room for all rows.
            unsafe { task::<C>(ptr::from_mut(&mut tasks).cast(), number) };
        }
        tasks.failed.into_inner().unwrap().map_or(Ok(answers), Err)
    }

    struct Panics;

    impl Computation for Panics {
        type Input = f32;
        type Output = f32;

        fn features(&self) -> usize {
            1
        }

        fn targets(&self) -> usize {
            1
        }

        fn score(&self, _: &[f32], _: usize, _: &mut [f32]) {
            panic!("no score");
        }
    }

    #[test]
    fn a_panic_in_a_task_is_the_runs_error() {
        let failed = in_tasks(&Panics, &[0.0; 600], 600, 1).unwrap_err();
        assert_eq!(failed, "sqlinfer failed inside: no score; please report this");
    }
}
