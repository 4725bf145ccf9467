//! Where DuckDB enters. The file's name decides the symbol: sqlinfer.duckdb_extension, and, to register what is new in
//! the folder of models on a database that has the extension already, sqlinfer_1 … sqlinfer_255.

use std::ffi::{CStr, c_char};

use libduckdb_sys::{duckdb_extension_access, duckdb_extension_info};

use super::load::load;
use crate::host::duckdb::instance::{Given, give};
use crate::sys::caught::guard;
use crate::sys::cpu;

/// Called by the Python package before it lets a database load the extension: where models and libraries are; null for
/// what is not said. It is for the database that has a function of the name `marker`, and for no other that happens to
/// load the extension at the same time. With nulls alone it is taken back.
///
/// # Safety
/// The texts must be null or NUL-terminated; `marker` must not be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlinfer_configure(
    marker: *const c_char,
    home: *const c_char,
    onnxruntime: *const c_char,
    operators: *const c_char,
    is_new: bool,
) {
    let _ = guard(|| {
        let text = |text: *const c_char| {
            // SAFETY: promised by the caller.
            (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
        };
        let given = [home, onnxruntime, operators].map(text);
        let said = given.iter().any(Option::is_some).then_some(Given { texts: given, is_new });
        give(text(marker).unwrap_or_default(), said);
        Ok(())
    });
}

/// The vectors that trees and linear models are computed with, for the Python package; static text.
#[unsafe(no_mangle)]
pub extern "C" fn sqlinfer_vectors() -> *const c_char {
    guard(|| Ok(cpu::vectors().as_ptr())).unwrap_or(std::ptr::null())
}

macro_rules! entries {
    ($($name:ident)*) => {$(
        /// # Safety
        /// To be called by DuckDB when it loads the extension.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(info: duckdb_extension_info, access: *const duckdb_extension_access) -> bool {
            // SAFETY: promised by the caller.
            unsafe { load(info, access) }
        }
    )*};
}

#[rustfmt::skip]
entries! {
    sqlinfer_init_c_api
    sqlinfer_1_init_c_api sqlinfer_2_init_c_api sqlinfer_3_init_c_api sqlinfer_4_init_c_api sqlinfer_5_init_c_api
    sqlinfer_6_init_c_api sqlinfer_7_init_c_api sqlinfer_8_init_c_api sqlinfer_9_init_c_api sqlinfer_10_init_c_api
    sqlinfer_11_init_c_api sqlinfer_12_init_c_api sqlinfer_13_init_c_api sqlinfer_14_init_c_api sqlinfer_15_init_c_api
    sqlinfer_16_init_c_api sqlinfer_17_init_c_api sqlinfer_18_init_c_api sqlinfer_19_init_c_api sqlinfer_20_init_c_api
    sqlinfer_21_init_c_api sqlinfer_22_init_c_api sqlinfer_23_init_c_api sqlinfer_24_init_c_api sqlinfer_25_init_c_api
    sqlinfer_26_init_c_api sqlinfer_27_init_c_api sqlinfer_28_init_c_api sqlinfer_29_init_c_api sqlinfer_30_init_c_api
    sqlinfer_31_init_c_api sqlinfer_32_init_c_api sqlinfer_33_init_c_api sqlinfer_34_init_c_api sqlinfer_35_init_c_api
    sqlinfer_36_init_c_api sqlinfer_37_init_c_api sqlinfer_38_init_c_api sqlinfer_39_init_c_api sqlinfer_40_init_c_api
    sqlinfer_41_init_c_api sqlinfer_42_init_c_api sqlinfer_43_init_c_api sqlinfer_44_init_c_api sqlinfer_45_init_c_api
    sqlinfer_46_init_c_api sqlinfer_47_init_c_api sqlinfer_48_init_c_api sqlinfer_49_init_c_api sqlinfer_50_init_c_api
    sqlinfer_51_init_c_api sqlinfer_52_init_c_api sqlinfer_53_init_c_api sqlinfer_54_init_c_api sqlinfer_55_init_c_api
    sqlinfer_56_init_c_api sqlinfer_57_init_c_api sqlinfer_58_init_c_api sqlinfer_59_init_c_api sqlinfer_60_init_c_api
    sqlinfer_61_init_c_api sqlinfer_62_init_c_api sqlinfer_63_init_c_api sqlinfer_64_init_c_api sqlinfer_65_init_c_api
    sqlinfer_66_init_c_api sqlinfer_67_init_c_api sqlinfer_68_init_c_api sqlinfer_69_init_c_api sqlinfer_70_init_c_api
    sqlinfer_71_init_c_api sqlinfer_72_init_c_api sqlinfer_73_init_c_api sqlinfer_74_init_c_api sqlinfer_75_init_c_api
    sqlinfer_76_init_c_api sqlinfer_77_init_c_api sqlinfer_78_init_c_api sqlinfer_79_init_c_api sqlinfer_80_init_c_api
    sqlinfer_81_init_c_api sqlinfer_82_init_c_api sqlinfer_83_init_c_api sqlinfer_84_init_c_api sqlinfer_85_init_c_api
    sqlinfer_86_init_c_api sqlinfer_87_init_c_api sqlinfer_88_init_c_api sqlinfer_89_init_c_api sqlinfer_90_init_c_api
    sqlinfer_91_init_c_api sqlinfer_92_init_c_api sqlinfer_93_init_c_api sqlinfer_94_init_c_api sqlinfer_95_init_c_api
    sqlinfer_96_init_c_api sqlinfer_97_init_c_api sqlinfer_98_init_c_api sqlinfer_99_init_c_api sqlinfer_100_init_c_api
    sqlinfer_101_init_c_api sqlinfer_102_init_c_api sqlinfer_103_init_c_api sqlinfer_104_init_c_api sqlinfer_105_init_c_api
    sqlinfer_106_init_c_api sqlinfer_107_init_c_api sqlinfer_108_init_c_api sqlinfer_109_init_c_api sqlinfer_110_init_c_api
    sqlinfer_111_init_c_api sqlinfer_112_init_c_api sqlinfer_113_init_c_api sqlinfer_114_init_c_api sqlinfer_115_init_c_api
    sqlinfer_116_init_c_api sqlinfer_117_init_c_api sqlinfer_118_init_c_api sqlinfer_119_init_c_api sqlinfer_120_init_c_api
    sqlinfer_121_init_c_api sqlinfer_122_init_c_api sqlinfer_123_init_c_api sqlinfer_124_init_c_api sqlinfer_125_init_c_api
    sqlinfer_126_init_c_api sqlinfer_127_init_c_api sqlinfer_128_init_c_api sqlinfer_129_init_c_api sqlinfer_130_init_c_api
    sqlinfer_131_init_c_api sqlinfer_132_init_c_api sqlinfer_133_init_c_api sqlinfer_134_init_c_api sqlinfer_135_init_c_api
    sqlinfer_136_init_c_api sqlinfer_137_init_c_api sqlinfer_138_init_c_api sqlinfer_139_init_c_api sqlinfer_140_init_c_api
    sqlinfer_141_init_c_api sqlinfer_142_init_c_api sqlinfer_143_init_c_api sqlinfer_144_init_c_api sqlinfer_145_init_c_api
    sqlinfer_146_init_c_api sqlinfer_147_init_c_api sqlinfer_148_init_c_api sqlinfer_149_init_c_api sqlinfer_150_init_c_api
    sqlinfer_151_init_c_api sqlinfer_152_init_c_api sqlinfer_153_init_c_api sqlinfer_154_init_c_api sqlinfer_155_init_c_api
    sqlinfer_156_init_c_api sqlinfer_157_init_c_api sqlinfer_158_init_c_api sqlinfer_159_init_c_api sqlinfer_160_init_c_api
    sqlinfer_161_init_c_api sqlinfer_162_init_c_api sqlinfer_163_init_c_api sqlinfer_164_init_c_api sqlinfer_165_init_c_api
    sqlinfer_166_init_c_api sqlinfer_167_init_c_api sqlinfer_168_init_c_api sqlinfer_169_init_c_api sqlinfer_170_init_c_api
    sqlinfer_171_init_c_api sqlinfer_172_init_c_api sqlinfer_173_init_c_api sqlinfer_174_init_c_api sqlinfer_175_init_c_api
    sqlinfer_176_init_c_api sqlinfer_177_init_c_api sqlinfer_178_init_c_api sqlinfer_179_init_c_api sqlinfer_180_init_c_api
    sqlinfer_181_init_c_api sqlinfer_182_init_c_api sqlinfer_183_init_c_api sqlinfer_184_init_c_api sqlinfer_185_init_c_api
    sqlinfer_186_init_c_api sqlinfer_187_init_c_api sqlinfer_188_init_c_api sqlinfer_189_init_c_api sqlinfer_190_init_c_api
    sqlinfer_191_init_c_api sqlinfer_192_init_c_api sqlinfer_193_init_c_api sqlinfer_194_init_c_api sqlinfer_195_init_c_api
    sqlinfer_196_init_c_api sqlinfer_197_init_c_api sqlinfer_198_init_c_api sqlinfer_199_init_c_api sqlinfer_200_init_c_api
    sqlinfer_201_init_c_api sqlinfer_202_init_c_api sqlinfer_203_init_c_api sqlinfer_204_init_c_api sqlinfer_205_init_c_api
    sqlinfer_206_init_c_api sqlinfer_207_init_c_api sqlinfer_208_init_c_api sqlinfer_209_init_c_api sqlinfer_210_init_c_api
    sqlinfer_211_init_c_api sqlinfer_212_init_c_api sqlinfer_213_init_c_api sqlinfer_214_init_c_api sqlinfer_215_init_c_api
    sqlinfer_216_init_c_api sqlinfer_217_init_c_api sqlinfer_218_init_c_api sqlinfer_219_init_c_api sqlinfer_220_init_c_api
    sqlinfer_221_init_c_api sqlinfer_222_init_c_api sqlinfer_223_init_c_api sqlinfer_224_init_c_api sqlinfer_225_init_c_api
    sqlinfer_226_init_c_api sqlinfer_227_init_c_api sqlinfer_228_init_c_api sqlinfer_229_init_c_api sqlinfer_230_init_c_api
    sqlinfer_231_init_c_api sqlinfer_232_init_c_api sqlinfer_233_init_c_api sqlinfer_234_init_c_api sqlinfer_235_init_c_api
    sqlinfer_236_init_c_api sqlinfer_237_init_c_api sqlinfer_238_init_c_api sqlinfer_239_init_c_api sqlinfer_240_init_c_api
    sqlinfer_241_init_c_api sqlinfer_242_init_c_api sqlinfer_243_init_c_api sqlinfer_244_init_c_api sqlinfer_245_init_c_api
    sqlinfer_246_init_c_api sqlinfer_247_init_c_api sqlinfer_248_init_c_api sqlinfer_249_init_c_api sqlinfer_250_init_c_api
    sqlinfer_251_init_c_api sqlinfer_252_init_c_api sqlinfer_253_init_c_api sqlinfer_254_init_c_api sqlinfer_255_init_c_api
}
