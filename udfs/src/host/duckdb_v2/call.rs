//! The scalar functions over API v2: what happens when DuckDB resolves the types of a call, binds, prepares and runs it.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;

use libduckdb_sys::{duckdb_vector, idx_t};

use super::api::{self, Api, Bindings, Code, ExecInfo, InitInfo, Opaque, Problem, Resolved, Text};
use super::handles::{context, lent, taken};
use super::report::{destroyed, report};
use crate::core::error::{Error, Result};
use crate::core::names::Called;
use crate::core::sqltype::{ArgType, SqlType};
use crate::host::duckdb::call::{Arguments, Bound, Running, asked};
use crate::host::duckdb::context::{Context, Value};
use crate::host::duckdb::instance::{Answer, Function};
use crate::host::duckdb::types::LogicalType;
use crate::host::duckdb::versions::Versions;
use crate::host::duckdb::writing::written;
use crate::sys::caught::guard;
use crate::sys::interrupt::interrupted;

thread_local! {
    /// What a call was resolved to, until it is bound: that comes next.
    static RESOLVED: RefCell<Option<(*const Function, Arc<Versions>, SqlType)>> = const { RefCell::new(None) };
}

/// The arguments of a call: positions come first in DuckDB, names here, so that what follows the features still does.
pub struct Shown {
    api: &'static Api,
    info: *mut api::BindInfo,
    context: ManuallyDrop<Context>,
    /// By position.
    positions: usize,
    named: usize,
    /// Of the positions, those before the features.
    first: usize,
    /// A parameter has no value yet.
    is_unresolved: Cell<bool>,
}

impl Shown {
    /// # Safety
    /// `info` and `of` must be those of a running callback, and must outlive this.
    pub unsafe fn new(
        api: &'static Api,
        info: *mut api::BindInfo,
        of: *mut api::Context,
        first: usize,
    ) -> Result<Shown> {
        let mut counts = [0; 4];
        let [fixed, variadic, named_fixed, named_variadic] = counts.each_mut();
        // SAFETY: promised by the caller; the out-pointers are valid.
        let (context, code) = unsafe {
            let get = api.function_bind_get_arg_count;
            (context(of), get(info, fixed, variadic, named_fixed, named_variadic, ptr::null_mut()))
        };
        api::succeeded(code)?;
        let [positions, more, named, also_named] = counts.map(|count| count as usize);
        let (positions, named) = (positions + more, named + also_named);
        Ok(Shown { api, info, context, positions, named, first, is_unresolved: Cell::new(false) })
    }

    fn count(&self) -> usize {
        self.positions + self.named
    }

    fn shown_type(&self, i: usize) -> Result<ArgType> {
        let mut logical = ptr::null_mut();
        // SAFETY: `new` promises the info; the type that comes back is ours.
        unsafe {
            let get = self.api.function_bind_get_arg_type;
            api::succeeded(get(self.info, self.place(i) as idx_t, &mut logical, ptr::null_mut()))?;
            Ok(taken(self.api, logical).given())
        }
    }

    fn shown_name(&self, i: usize) -> Result<Called> {
        let place = self.place(i);
        if place < self.positions {
            return Ok(Called::Nothing);
        }
        let mut name = Text::EMPTY;
        // SAFETY: `new` promises the info; the name is lent for the time of the callback.
        unsafe {
            let get = self.api.function_bind_get_arg_name;
            api::succeeded(get(self.info, place as idx_t, &mut name, ptr::null_mut()))?;
            Ok(Called::Named(name.owned()))
        }
    }
}

impl Arguments for Shown {
    fn context(&self) -> &Context {
        &self.context
    }

    fn given(&self) -> Option<Vec<ArgType>> {
        (0..self.count()).map(|i| self.shown_type(i).ok()).collect()
    }

    fn constant(&self, i: usize) -> Option<String> {
        let mut value = ptr::null_mut();
        // SAFETY: `new` promises the info; the value that comes back is ours.
        let code = unsafe {
            let get = self.api.function_bind_get_arg_value;
            get(self.info, self.place(i) as idx_t, &mut value, ptr::null_mut())
        };
        self.is_unresolved.set(self.is_unresolved.get() || code == api::PARAMETER_NOT_RESOLVED);
        Value(value).text()
    }

    fn called(&self) -> Result<Vec<Called>> {
        (0..self.count()).map(|i| self.shown_name(i)).collect()
    }

    fn place(&self, i: usize) -> usize {
        match i.checked_sub(self.first) {
            None => i,
            Some(feature) if feature < self.named => self.positions + feature,
            Some(after) => self.first + (after - self.named),
        }
    }
}

/// # Safety
/// `info` must be that of a running callback of a function that was registered with a `T`.
pub unsafe fn registered<'a, T>(api: &Api, info: *mut api::BindInfo) -> Result<&'a T> {
    let mut data = ptr::null_mut();
    // SAFETY: promised by the caller; DuckDB keeps the data for as long as the function.
    let found = unsafe {
        api::succeeded((api.function_bind_get_user_data)(info, &mut data, ptr::null_mut()))?;
        data.cast::<T>().as_ref()
    };
    found.ok_or_else(|| Error::new("no function".to_string()))
}

/// # Safety
/// As for `Shown::new`, of a function that was registered with a `Function`.
unsafe fn called<'a>(info: *mut api::BindInfo, of: *mut api::Context) -> Result<(&'static Api, &'a Function, Shown)> {
    let api = api::api()?;
    // SAFETY: promised by the caller.
    unsafe {
        let function = registered::<Function>(api, info)?;
        Ok((api, function, Shown::new(api, info, of, function.first())?))
    }
}

/// What the call asks for; None where DuckDB is to come again when it has the values of its parameters.
fn known<T>(shown: &Shown, found: Result<Option<T>>) -> Result<Option<T>> {
    if shown.is_unresolved.get() { Ok(None) } else { found }
}

pub unsafe extern "C" fn resolve(
    info: *mut api::BindInfo,
    result: *mut Resolved,
    of: *mut api::Context,
    problem: Problem,
) {
    let done = guard(|| {
        RESOLVED.take();
        // SAFETY: DuckDB calls with a valid info, of a function that was registered.
        let (api, function, shown) = unsafe { called(info, of) }?;
        let Some(asked) = known(&shown, asked(&shown, function, None))? else { return Ok(Resolving::Later) };
        let answer = LogicalType::of(&asked.sql_type)?;
        // SAFETY: the result is that of this callback, and the type is copied.
        let set =
            unsafe { (api.scalar_function_resolve_types_set_return_type)(result, lent(&answer), ptr::null_mut()) };
        api::succeeded(set)?;
        RESOLVED.set(Some((ptr::from_ref(function), asked.versions, asked.sql_type)));
        Ok(Resolving::Done)
    });
    // SAFETY: the place is that of this callback.
    unsafe { tell(problem, done) };
}

pub unsafe extern "C" fn bind(
    info: *mut api::BindInfo,
    result: *mut Bindings,
    of: *mut api::Context,
    problem: Problem,
) {
    let done = guard(|| {
        let resolved = RESOLVED.take();
        // SAFETY: DuckDB calls with a valid info, of a function that was registered.
        let (api, function, shown) = unsafe { called(info, of) }?;
        let (versions, sql_type) = match (&function.answer, resolved) {
            (Answer::Fixed(sql_type), _) => (None, sql_type.clone()),
            (Answer::Model, Some((of, versions, sql_type))) if ptr::eq(of, function) => (Some(versions), sql_type),
            (Answer::Model, _) => return Err(Error::new("the type of the call was not resolved".to_string())),
        };
        let Some(asked) = known(&shown, asked(&shown, function, versions))? else { return Ok(Resolving::Later) };
        if asked.sql_type != sql_type {
            return Err(Error::new(format!("{}: the model was replaced meanwhile; ask again", function.name)));
        }
        let bound = Box::into_raw(Box::new(asked.bound(function)?)).cast();
        let mut bound = Opaque { data: bound, destroy: destroyed::<Bound>, equals: Some(are_equal) };
        // SAFETY: the result is that of this callback; DuckDB takes the data over, and drops it by `destroyed`.
        api::succeeded(unsafe { (api.scalar_function_bind_set_bind_data)(result, &mut bound, ptr::null_mut()) })?;
        Ok(Resolving::Done)
    });
    // SAFETY: the place is that of this callback.
    unsafe { tell(problem, done) };
}

enum Resolving {
    Done,
    /// DuckDB comes again when it has the values of its parameters.
    Later,
}

/// # Safety
/// As for `report`.
unsafe fn tell(problem: Problem, done: Result<Resolving>) {
    let (code, result) = match done {
        Ok(Resolving::Done) => return,
        Ok(Resolving::Later) => (api::PARAMETER_NOT_RESOLVED, Err(Error::new("no value is known yet".to_string()))),
        Err(error) => (api::BINDER, Err(error)),
    };
    // SAFETY: promised by the caller.
    unsafe { report(problem, code, result) };
}

/// Whether a call stands for another one that has the same arguments: a row is scored once.
unsafe extern "C" fn are_equal(one: *mut c_void, other: *mut c_void) -> bool {
    guard(|| {
        // SAFETY: both are what `bind` made, and alive.
        let (one, other) = unsafe { (one.cast::<Bound>().as_ref(), other.cast::<Bound>().as_ref()) };
        Ok(one.zip(other).is_some_and(|(one, other)| one.answers_as(other)))
    })
    .unwrap_or(false)
}

pub unsafe extern "C" fn init(info: *mut InitInfo, of: *mut api::Context, problem: Problem) {
    let result = guard(|| {
        let api = api::api()?;
        let mut bound = ptr::null_mut();
        // SAFETY: the info is that of this callback; the bind data is the Bound that `bind` set. DuckDB drops the state with the
        // query.
        let state = unsafe {
            api::succeeded((api.scalar_function_init_get_bind_data)(info, &mut bound, ptr::null_mut()))?;
            let bound =
                bound.cast::<Bound>().as_ref().ok_or_else(|| Error::new("the call was not bound".to_string()))?;
            bound.state(&context(of))?
        };
        let state = Box::into_raw(Box::new(state)).cast();
        let mut state = Opaque { data: state, destroy: destroyed::<Running>, equals: None };
        // SAFETY: as above; DuckDB takes the state over, and drops it by `destroyed`.
        api::succeeded(unsafe { (api.scalar_function_init_set_init_data)(info, &mut state, ptr::null_mut()) })
    });
    // SAFETY: the place is that of this callback.
    unsafe { report(problem, code_of(&result), result) };
}

pub unsafe extern "C-unwind" fn execute(info: *mut ExecInfo, _: *mut api::Context, problem: Problem) {
    let work = || {
        let api = api::api()?;
        let (mut state, mut bound, none) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: state and bind data are those that `init` and `bind` set; a state is used by one thread at a time.
        let (state, bound) = unsafe {
            api::succeeded((api.scalar_function_exec_get_init_data)(info, &mut state, none))?;
            api::succeeded((api.scalar_function_exec_get_bind_data)(info, &mut bound, none))?;
            let lost = || Error::new("the call was not prepared".to_string());
            (state.cast::<Running>().as_mut().ok_or_else(lost)?, bound.cast::<Bound>().as_ref().ok_or_else(lost)?)
        };
        // SAFETY: the info is that of this callback; the vectors have the types that were bound, and are flat then.
        unsafe {
            let given = Vectors::flat(api, info, &bound.places)?;
            bound.score(state, &given.arguments, given.rows, given.output)
        }
    };
    // SAFETY: as said there; DuckDB calls.
    let result = unsafe { written(work) };
    // SAFETY: the place is that of this callback.
    unsafe { report(problem, code_of(&result), result) };
}

/// An interrupt is told as DuckDB's own.
fn code_of(result: &Result<()>) -> Code {
    if *result == Err(interrupted()) { api::INTERRUPT } else { api::INPUT_INVALID }
}

/// What a call is given, and where its answers go.
pub struct Vectors {
    pub arguments: Vec<duckdb_vector>,
    pub output: duckdb_vector,
    pub rows: usize,
}

impl Vectors {
    /// # Safety
    /// `info` must be that of a running callback that computes.
    pub unsafe fn flat(api: &Api, info: *mut ExecInfo, places: &[usize]) -> Result<Vectors> {
        let (mut rows, mut output, none) = (0, ptr::null_mut(), ptr::null_mut());
        // SAFETY: promised by the caller; the out-pointers are valid.
        unsafe {
            api::succeeded((api.scalar_function_exec_get_row_count)(info, &mut rows, none))?;
            api::succeeded((api.scalar_function_exec_get_result)(info, &mut output, none))?;
        }
        let flat = |place: &usize| {
            let mut vector = ptr::null_mut();
            // SAFETY: as above.
            unsafe {
                api::succeeded((api.scalar_function_exec_get_arg)(info, *place as idx_t, &mut vector, none))?;
                api::succeeded((api.vector_flatten)(vector, none))?;
            }
            Ok(vector)
        };
        let arguments = places.iter().map(flat).collect::<Result<_>>()?;
        Ok(Vectors { arguments, output, rows: rows as usize })
    }
}
