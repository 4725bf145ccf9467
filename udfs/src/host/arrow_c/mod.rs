//! The core as a C library over the Arrow C data interface: this is its header.
//!
//! ```c
//! typedef struct sqlinfer_model sqlinfer_model;      // one version of a model; any thread may use it
//!
//! // Rises when a function here takes or gives something else; new functions do not raise it.
//! uint32_t sqlinfer_core_version(void);
//! // The table of calls, a JSON list of {name, help, answers, fixed, is_typed, takes_class}; static.
//! const char *sqlinfer_core_calls(void);
//! // How DECIMALs become floating point: in parts as DuckDB 1 has it, or rounded once as DuckDB 2 (the default).
//! void sqlinfer_core_decimals(bool in_parts);
//!
//! // Open what `reference` ('churn', 'churn/3', 'churn@champion') means now in the registry `home`. `name`: what messages
//! // call it; null for the reference. `onnxruntime`, `operators`: paths of libraries, null for where they are looked for.
//! // The first ONNX Runtime that is loaded stays; ORT_DISABLE_TELEMETRY=1 is to be set before.
//! int sqlinfer_core_open(const char *home, const char *reference, const char *name, const char *onnxruntime,
//!                        const char *operators, sqlinfer_model **model);
//! void sqlinfer_core_close(sqlinfer_model *model);
//!
//! // The struct of features that the model takes, and the type of its answer to a call. The caller releases them. `class`: that of
//! // the probabilities alone; null for all that the call answers.
//! int sqlinfer_core_takes(sqlinfer_model *model, struct ArrowSchema *schema);
//! int sqlinfer_core_gives(sqlinfer_model *model, const char *call, const char *class, struct ArrowSchema *schema);
//!
//! // Answer all rows of a struct array. Its fields are features by name: order and case do not matter, and others are passed over. Array and
//! // schema are taken over and released, whatever comes of it; the caller releases the answers. `threads`: at most so many, 0
//! // for as many as there are cores. `interrupt`: null, or a flag that ends the call when it becomes true.
//! int sqlinfer_core_run(sqlinfer_model *model, const char *call, const char *class, struct ArrowArray *rows,
//!                       struct ArrowSchema *schema, int threads, const bool *interrupt, struct ArrowArray *answers,
//!                       struct ArrowSchema *type);
//!
//! // After a function has given something else than 0, on this thread, until the next call: what happened, and its kind, one of
//! // bad_reference, model_not_found, call, feature, missing_feature, unknown_feature, feature_count, feature_type, null_feature,
//! // invalid_model, registry, model_failed, engine, interrupted, other.
//! const char *sqlinfer_core_error(void);
//! const char *sqlinfer_core_error_code(void);
//! ```
//!
//! Types are taken as DuckDB takes them from Arrow. Refused, with an error of the feature, are what no model takes (dates, times, maps, unions), and
//! what the caller is to bring into another form: dictionaries of anything but texts, views of lists, run-ends, decimals of 256 bits.

mod abi;
mod api;
mod input;
mod model;
mod output;
mod types;
