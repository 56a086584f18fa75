//! Which vector instructions this processor has, and the way to them.

use std::sync::LazyLock;

use rten_simd::Isa;
use rten_simd::isa::GenericIsa;
#[cfg(target_arch = "x86_64")]
use rten_simd::isa::{Avx2Isa, Avx512Isa};
use rten_simd::ops::BitOps;

/// A set of vector instructions for which the ops are compiled.
///
/// A level is made by [`best`](Level::best) and [`supported`](Level::supported) alone, so that one
/// which exists can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    /// AVX-512 with the integer dot product of VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// Whatever the compiler makes of plain code.
    Generic,
}

/// Work that is compiled for every level.
pub trait Op {
    /// What it gives.
    type Output;

    /// Does the work. `R` is the number of vector registers that a row of a tile takes (see
    /// [`super::gemm`]). Implementations are `#[inline(always)]`, or they lose the level's
    /// instructions.
    fn eval<A: Arch, const R: usize>(self, arch: A) -> Self::Output;
}

/// An instruction set with what the ops need beyond [`Isa`].
pub trait Arch: Copy {
    /// The portable part.
    type Isa: Isa;

    /// The portable part.
    fn isa(self) -> Self::Isa;

    /// `sums` plus, in each 32-bit lane, the product of four unsigned `activations` with four
    /// signed `weights`.
    ///
    /// Only the sets of x86 have it; where [`Level::has_dot`] is false, int8 products are
    /// `rten-gemm`'s.
    fn dot(
        self,
        sums: <Self::Isa as Isa>::I32,
        activations: <Self::Isa as Isa>::I32,
        weights: <Self::Isa as Isa>::I32,
    ) -> <Self::Isa as Isa>::I32;

    /// Asks for the cache line at `address` to come into the second level of the cache. Any
    /// address may be asked for.
    #[inline(always)]
    fn prefetch(self, address: *const u8) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch reads nothing that the program could see and never faults.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = address;
    }
}

impl Level {
    /// The best level of this processor.
    pub fn best() -> Self {
        static BEST: LazyLock<Level> = LazyLock::new(|| Level::supported()[0]);
        *BEST
    }

    /// Every level of this processor, the best first.
    pub fn supported() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if Avx512Isa::new().is_some() {
                if std::arch::is_x86_feature_detected!("avx512vnni") {
                    sets.push(Set::Avx512Vnni);
                }
                sets.push(Set::Avx512);
            }
            if Avx2Isa::new().is_some() {
                sets.push(Set::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if rten_simd::isa::ArmNeonIsa::new().is_some() {
            sets.push(Set::Neon);
        }
        sets.push(Set::Generic);
        sets.into_iter().map(Level).collect()
    }

    /// Name for messages and benchmarks.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => "AVX-512 with VNNI",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "NEON",
            Set::Generic => "no vector instructions",
        }
    }

    /// Whether [`Arch::dot`] may be called.
    pub fn has_dot(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni | Set::Avx512 | Set::Avx2 => true,
            #[cfg(target_arch = "aarch64")]
            Set::Neon => false,
            Set::Generic => false,
        }
    }

    /// Whether [`Arch::dot`] is exact only while the activations stay within 7 bits: without VNNI
    /// the products are added in pairs to 16 bits, which saturate.
    pub fn dot_may_saturate(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 | Set::Avx2 => true,
            _ => false,
        }
    }

    /// Columns of a panel of a packed matrix.
    pub fn panel_columns(self) -> usize {
        let (lanes, registers) = self.run(Shape);
        lanes * registers
    }

    /// As few columns as hold `columns` and are whole vectors.
    pub fn whole_vectors(self, columns: usize) -> usize {
        let (lanes, _) = self.run(Shape);
        columns.next_multiple_of(lanes)
    }

    /// Runs `op` with this level's instructions.
    #[inline]
    pub fn run<O: Op>(self, op: O) -> O::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => {
                let isa = Avx512Isa::new().expect("a level is supported where it exists");
                // SAFETY: `supported` found the set, and with it every feature that is enabled.
                unsafe { x86::avx512_vnni(x86::Avx512::<true>(isa), op) }
            }
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => {
                let isa = Avx512Isa::new().expect("a level is supported where it exists");
                // SAFETY: as above.
                unsafe { x86::avx512(x86::Avx512::<false>(isa), op) }
            }
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => {
                let isa = Avx2Isa::new().expect("a level is supported where it exists");
                // SAFETY: as above.
                unsafe { x86::avx2(x86::Avx2(isa), op) }
            }
            // NEON is part of the architecture: nothing has to be enabled.
            #[cfg(target_arch = "aarch64")]
            Set::Neon => {
                let isa = rten_simd::isa::ArmNeonIsa::new().expect("a level is supported where it exists");
                op.eval::<_, 4>(Portable(isa))
            }
            Set::Generic => op.eval::<_, 2>(Portable(GenericIsa::new())),
        }
    }
}

/// Elements of a vector, and vectors of a panel's row.
struct Shape;

impl Op for Shape {
    type Output = (usize, usize);

    #[inline(always)]
    fn eval<A: Arch, const R: usize>(self, arch: A) -> (usize, usize) {
        (arch.isa().f32().len(), R)
    }
}

/// A set without a dot product of its own.
#[derive(Clone, Copy)]
struct Portable<I>(I);

impl<I: Isa> Arch for Portable<I> {
    type Isa = I;

    #[inline(always)]
    fn isa(self) -> I {
        self.0
    }

    fn dot(self, _: I::I32, _: I::I32, _: I::I32) -> I::I32 {
        unreachable!("has_dot is false");
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16, _mm512_add_epi32,
        _mm512_dpbusd_epi32, _mm512_madd_epi16, _mm512_maddubs_epi16, _mm512_set1_epi16,
    };

    use rten_simd::Isa;
    use rten_simd::isa::{Avx2Isa, Avx512Isa};

    use super::{Arch, Op};

    #[derive(Clone, Copy)]
    pub struct Avx512<const VNNI: bool>(pub Avx512Isa);

    impl<const VNNI: bool> Arch for Avx512<VNNI> {
        type Isa = Avx512Isa;

        #[inline(always)]
        fn isa(self) -> Avx512Isa {
            self.0
        }

        #[inline(always)]
        fn dot(
            self,
            sums: <Avx512Isa as Isa>::I32,
            activations: <Avx512Isa as Isa>::I32,
            weights: <Avx512Isa as Isa>::I32,
        ) -> <Avx512Isa as Isa>::I32 {
            // SAFETY: `Avx512Isa` exists where AVX-512 does, and `VNNI` is true where `Level` found it.
            unsafe {
                if VNNI {
                    _mm512_dpbusd_epi32(sums.0, activations.0, weights.0).into()
                } else {
                    let pairs = _mm512_maddubs_epi16(activations.0, weights.0);
                    _mm512_add_epi32(sums.0, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1))).into()
                }
            }
        }
    }

    #[derive(Clone, Copy)]
    pub struct Avx2(pub Avx2Isa);

    impl Arch for Avx2 {
        type Isa = Avx2Isa;

        #[inline(always)]
        fn isa(self) -> Avx2Isa {
            self.0
        }

        #[inline(always)]
        fn dot(
            self,
            sums: <Avx2Isa as Isa>::I32,
            activations: <Avx2Isa as Isa>::I32,
            weights: <Avx2Isa as Isa>::I32,
        ) -> <Avx2Isa as Isa>::I32 {
            // SAFETY: `Avx2Isa` exists where AVX2 does.
            unsafe {
                let pairs = _mm256_maddubs_epi16(activations.0, weights.0);
                _mm256_add_epi32(sums.0, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))).into()
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512vnni,f16c,fma")]
    pub unsafe fn avx512_vnni<O: Op>(arch: Avx512<true>, op: O) -> O::Output {
        op.eval::<_, 4>(arch)
    }

    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,f16c,fma")]
    pub unsafe fn avx512<O: Op>(arch: Avx512<false>, op: O) -> O::Output {
        op.eval::<_, 4>(arch)
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub unsafe fn avx2<O: Op>(arch: Avx2, op: O) -> O::Output {
        op.eval::<_, 2>(arch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_has_a_level_and_panels_of_whole_registers() {
        for level in Level::supported() {
            assert!(level.panel_columns().is_multiple_of(8), "{}", level.name());
        }
        assert_eq!(Level::best(), Level::supported()[0]);
    }
}
