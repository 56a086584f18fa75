//! What this machine can do at best, as JSON: multiply-adds a second in f32 and int8, and bytes a
//! second read from buffers of the sizes that are asked for.
//!
//!     bench-limits '{"threads": [1, 2], "megabytes": [8, 512]}'
//!
//! Intel's AMX is left out: stable Rust has no intrinsics for it.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// The best of so many measurements counts, each of this length.
const MEASUREMENTS: usize = 7;
const MEASUREMENT: Duration = Duration::from_millis(100);

/// Steps of every chain in one call of a kernel: about a tenth of a millisecond.
const STEPS: u64 = 16_384;

fn main() {
    let request: Value = serde_json::from_str(&std::env::args().nth(1).expect("a request")).expect("JSON");
    let list = |name: &str| -> Vec<usize> {
        let numbers = request[name].as_array().expect("a list").iter();
        numbers.map(|number| number.as_u64().expect("a whole number") as usize).collect()
    };
    let megabytes = list("megabytes");
    let words = |megabytes: usize| megabytes * 1_000_000 / size_of::<u64>();
    let buffer = vec![1_u64; words(megabytes.iter().copied().max().expect("a size"))];
    let kernels = kernels();
    let limits = list("threads").into_iter().map(|threads| {
        let reads = megabytes.iter().map(|&size| {
            let part = words(size) / threads;
            let rate = best_rate(threads, &|thread| {
                black_box((kernels.sum)(&buffer[thread * part..][..part]));
                (part * size_of::<u64>()) as u64
            });
            (size.to_string(), json!(rate))
        });
        json!({
            "threads": threads,
            "f32": best_rate(threads, &|_| (kernels.f32)()),
            "int8": best_rate(threads, &|_| (kernels.int8)()),
            "read": reads.collect::<Map<_, _>>(),
        })
    });
    println!("{}", json!({ "instructions": kernels.instructions, "limits": limits.collect::<Vec<_>>() }));
}

/// Units a second that `threads` get done together when each repeats `work`, which is told its
/// thread and says how many units it did.
fn best_rate(threads: usize, work: &(dyn Fn(usize) -> u64 + Sync)) -> f64 {
    let measure = || {
        let start = Barrier::new(threads);
        let rate = |thread| {
            start.wait();
            let (began, mut done) = (Instant::now(), 0);
            while began.elapsed() < MEASUREMENT {
                done += work(thread);
            }
            done as f64 / began.elapsed().as_secs_f64()
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|thread| scope.spawn(move || rate(thread))).collect();
            workers.into_iter().map(|worker| worker.join().expect("a kernel does not panic")).sum()
        })
    };
    (0..MEASUREMENTS).map(|_| measure()).fold(0.0, f64::max)
}

/// Does some multiply-adds, and says how many.
type MultiplyAdds = fn() -> u64;
type Sum = fn(&[u64]) -> u64;

/// The fastest loops that this machine has instructions for.
struct Kernels {
    instructions: String,
    f32: MultiplyAdds,
    /// Of 8-bit numbers into 32-bit sums.
    int8: MultiplyAdds,
    sum: Sum,
}

/// A kernel that takes a step on each of some independent chains, enough of them to hide the latency
/// of a step.
macro_rules! multiply_adds {
    (
        #[$features:meta] $name:ident, $chains:literal chains of $lanes:literal,
        $zero:expr, $operand:expr, |$sum:ident, $x:ident| $step:expr
    ) => {
        #[$features]
        pub fn $name() -> u64 {
            // Hidden from the compiler, which else would see that all chains are equal.
            let mut chains = black_box([$zero; $chains]);
            let $x = black_box($operand);
            for _ in 0..STEPS {
                for chain in &mut chains {
                    let $sum = *chain;
                    *chain = $step;
                }
            }
            black_box(chains);
            STEPS * $chains * $lanes
        }
    };
}

/// Places that are read in turn: from a single one a core gets little more than half of what memory gives.
const STREAMS: usize = 8;

/// A function that adds up words, for the compiler to vectorise with the features that are given.
macro_rules! sum {
    (#[$features:meta] $name:ident) => {
        #[$features]
        pub fn $name(words: &[u64]) -> u64 {
            const LINE: usize = 64 / size_of::<u64>();
            let length = words.len() / STREAMS / LINE * LINE;
            let streams: [&[u64]; STREAMS] = std::array::from_fn(|stream| &words[stream * length..][..length]);
            let mut sums = [[0_u64; LINE]; STREAMS];
            for line in (0..length).step_by(LINE) {
                for (sums, stream) in sums.iter_mut().zip(streams) {
                    for (sum, word) in sums.iter_mut().zip(&stream[line..line + LINE]) {
                        *sum = sum.wrapping_add(*word);
                    }
                }
            }
            sums.iter().flatten().fold(0, |total, sum| total.wrapping_add(*sum))
        }
    };
}

/// What is older than AVX2, or than ARM's dot product, is not measured.
const TOO_OLD: &str = "this processor is too old to be measured";

#[cfg(target_arch = "x86_64")]
fn kernels() -> Kernels {
    use x86_64::*;

    assert!(is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2"), "{TOO_OLD}");
    let (name, f32, sum): (_, MultiplyAdds, Sum) = if is_x86_feature_detected!("avx512f") {
        // SAFETY: the instructions were detected.
        ("AVX-512", || unsafe { f32_avx512() }, |words| unsafe { sum_avx512(words) })
    } else {
        // SAFETY: the instructions were detected.
        ("AVX2", || unsafe { f32_avx2() }, |words| unsafe { sum_avx2(words) })
    };
    let (int8_name, int8): (_, MultiplyAdds) = if is_x86_feature_detected!("avx512vnni") {
        // SAFETY: the instructions were detected.
        ("AVX-512 VNNI", || unsafe { int8_avx512vnni() })
    } else if is_x86_feature_detected!("avxvnni") {
        // SAFETY: the instructions were detected.
        ("AVX-VNNI", || unsafe { int8_avxvnni() })
    } else {
        // SAFETY: the instructions were detected.
        ("AVX2", || unsafe { int8_avx2() })
    };
    Kernels { instructions: format!("f32: {name}; int8: {int8_name}"), f32, int8, sum }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::asm;
    use std::arch::x86_64::*;

    use super::{STEPS, STREAMS, black_box};

    multiply_adds! {
        #[target_feature(enable = "avx512f")]
        f32_avx512, 16 chains of 16, _mm512_setzero_ps(), _mm512_set1_ps(0.001), |sum, x| _mm512_fmadd_ps(x, x, sum)
    }
    multiply_adds! {
        #[target_feature(enable = "avx2,fma")]
        f32_avx2, 12 chains of 8, _mm256_setzero_ps(), _mm256_set1_ps(0.001), |sum, x| _mm256_fmadd_ps(x, x, sum)
    }
    multiply_adds! {
        #[target_feature(enable = "avx512f,avx512vnni")]
        int8_avx512vnni, 16 chains of 64,
        _mm512_setzero_si512(), _mm512_set1_epi8(1), |sum, x| _mm512_dpbusd_epi32(sum, x, x)
    }
    multiply_adds! {
        #[target_feature(enable = "avx2,avxvnni")]
        int8_avxvnni, 12 chains of 32,
        _mm256_setzero_si256(), _mm256_set1_epi8(1), |sum, x| _mm256_dpbusd_avx_epi32(sum, x, x)
    }
    multiply_adds! {
        #[target_feature(enable = "avx2")]
        int8_avx2, 10 chains of 32, _mm256_setzero_si256(), _mm256_set1_epi8(1), |sum, x| {
            let pairs = _mm256_maddubs_epi16(opaque(x), x);
            _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    sum!(
        #[target_feature(enable = "avx512f")]
        sum_avx512
    );
    sum!(
        #[target_feature(enable = "avx2")]
        sum_avx2
    );

    /// The same value, of which the compiler knows nothing: else it would multiply once, before the loop.
    #[target_feature(enable = "avx2")]
    fn opaque(mut x: __m256i) -> __m256i {
        // SAFETY: no instruction at all.
        unsafe { asm!("/* {} */", inout(ymm_reg) x, options(nomem, nostack, preserves_flags)) };
        x
    }
}

#[cfg(target_arch = "aarch64")]
fn kernels() -> Kernels {
    use aarch64::*;

    assert!(std::arch::is_aarch64_feature_detected!("dotprod"), "{TOO_OLD}");
    Kernels {
        instructions: "f32: NEON; int8: NEON dot product".to_owned(),
        // SAFETY: every aarch64 has NEON.
        f32: || unsafe { f32_neon() },
        // SAFETY: the instruction was detected.
        int8: || unsafe { int8_dotprod() },
        // SAFETY: every aarch64 has NEON.
        sum: |words| unsafe { sum_neon(words) },
    }
}

#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use std::arch::aarch64::*;
    use std::arch::asm;

    use super::{STEPS, STREAMS, black_box};

    multiply_adds! {
        #[target_feature(enable = "neon")]
        f32_neon, 16 chains of 4, vdupq_n_f32(0.0), vdupq_n_f32(0.001), |sum, x| vfmaq_f32(sum, x, x)
    }
    multiply_adds! {
        #[target_feature(enable = "neon,dotprod")]
        int8_dotprod, 16 chains of 16, vdupq_n_s32(0), vdupq_n_s8(1), |sum, x| dot(sum, x)
    }

    sum!(
        #[target_feature(enable = "neon")]
        sum_neon
    );

    /// The instruction's own intrinsic is not stable yet.
    #[target_feature(enable = "neon,dotprod")]
    fn dot(mut sum: int32x4_t, x: int8x16_t) -> int32x4_t {
        // SAFETY: the feature is there, and only registers are touched.
        unsafe {
            asm!("sdot {0:v}.4s, {1:v}.16b, {1:v}.16b", inout(vreg) sum, in(vreg) x, options(pure, nomem, nostack));
        }
        sum
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the limits are measured on x86-64 and 64-bit ARM only");
