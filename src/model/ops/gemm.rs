//! The product of a few rows with one packed panel of a matrix.
//!
//! A panel holds as many columns as one row of a tile has vector lanes, and all of the matrix's
//! rows: `[k][columns]` in f32, `[k / 4][columns][4]` in int8. A tile of up to six rows is
//! accumulated in registers (Goto and van de Geijn, "Anatomy of high-performance matrix
//! multiplication", 2008). Few rows and many columns suit the loads: per step of `k` AVX-512 loads
//! 4 vectors of the panel and 6 activations for 24 multiply-adds.
//!
//! With few tokens the weights come from memory faster than they can be multiplied only if they
//! are asked for in time, so each tile prefetches its share of what the panel needs next, in
//! several pages at once. This and the tile's shape make the product faster than that of `rten-gemm`
//! 0.27 on weights that do not fit the cache: up to 1.8 times on a core of Ice Lake, up to 1.2 times on
//! one of Zen 4 (`cargo bench --bench ops`).

use rten_simd::Isa;
use rten_simd::ops::{BitOps, NumOps};

use super::buffer::LINE;
use super::level::{Arch, Level, Op};

/// Rows of a tile: with the registers for a row of the panel they fill the register file.
const TILE_ROWS: usize = 6;

/// Depth over which a part of an f32 panel is used for all tiles before the next: 32 KiB with
/// AVX-512, so that it stays in the first level of the cache.
const DEPTH: usize = 128;

/// How far ahead of its use a panel is prefetched, in bytes.
const AHEAD: usize = 64 << 10;

/// Streams in which what is prefetched is read side by side. The prefetchers of x86 stop at the end
/// of a 4 KiB page: with one stream a core reads a third less than memory gives.
const STREAMS: usize = 4;

/// Steps of `k` between prefetches.
const STEPS: usize = 8;

/// `sums = a × panel` in f32.
pub struct MultiplyF32<'a> {
    /// `rows` rows of `depth` elements, `stride` apart.
    pub a: &'a [f32],
    /// Distance between the starts of rows of `a`.
    pub stride: usize,
    /// Rows of `a` and of `sums`.
    pub rows: usize,
    /// Elements of a row of `a`, rows of the panel.
    pub depth: usize,
    /// Columns of the panel: at most [`Level::panel_columns`], whole vectors.
    pub columns: usize,
    /// `[depth][columns]`.
    pub panel: &'a [f32],
    /// Whether what follows the panel in memory is needed next, and to be prefetched.
    pub weights: bool,
    /// `[rows][columns]`.
    pub sums: &'a mut [f32],
}

impl Op for MultiplyF32<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<A: Arch, const R: usize>(self, arch: A) {
        match self.columns / arch.isa().f32().len() {
            1 => self.of_width::<A, 1>(arch),
            2 => self.of_width::<A, 2>(arch),
            3 => self.of_width::<A, 3>(arch),
            _ => self.of_width::<A, R>(arch),
        }
    }
}

impl MultiplyF32<'_> {
    /// With panels of `V` vectors.
    #[inline(always)]
    fn of_width<A: Arch, const V: usize>(self, arch: A) {
        let MultiplyF32 { a, stride, rows, depth, columns, panel, weights, sums } = self;
        assert!(columns == V * arch.isa().f32().len());
        assert!(rows > 0 && depth > 0 && a.len() >= (rows - 1) * stride + depth);
        assert!(panel.len() >= depth * columns && sums.len() >= rows * columns);
        let mut start = 0;
        while start < depth {
            let steps = DEPTH.min(depth - start);
            let part = &panel[start * columns..];
            for_each_tile(
                rows,
                Prefetch::new(part.as_ptr(), if weights { steps * columns } else { 0 }),
                #[inline(always)]
                |row, height, prefetch| {
                    // SAFETY: by the assertions above the tile's rows lie within `a` and `sums`, and
                    // `steps` rows of the panel within `part`.
                    unsafe {
                        let a = a.as_ptr().add(row * stride + start);
                        let tile = Tile { stride, steps, columns, first: start == 0, prefetch };
                        let sums = sums.as_mut_ptr().add(row * columns);
                        match height {
                            1 => tile.f32::<A, 1, V>(arch, a, part.as_ptr(), sums),
                            2 => tile.f32::<A, 2, V>(arch, a, part.as_ptr(), sums),
                            3 => tile.f32::<A, 3, V>(arch, a, part.as_ptr(), sums),
                            4 => tile.f32::<A, 4, V>(arch, a, part.as_ptr(), sums),
                            5 => tile.f32::<A, 5, V>(arch, a, part.as_ptr(), sums),
                            _ => tile.f32::<A, 6, V>(arch, a, part.as_ptr(), sums),
                        }
                    }
                },
            );
            start += steps;
        }
    }
}

/// `sums = a × panel` in whole numbers, where the level has a dot product.
pub struct MultiplyInt8<'a> {
    /// `rows` rows of `depth` elements, one after the other.
    pub a: &'a [u8],
    /// Rows of `a` and of `sums`.
    pub rows: usize,
    /// Elements of a row of `a`, a multiple of 4.
    pub depth: usize,
    /// `[depth / 4][columns][4]`, with [`Level::panel_columns`] columns.
    pub panel: &'a [i8],
    /// `[rows][columns]`.
    pub sums: &'a mut [i32],
}

impl Op for MultiplyInt8<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<A: Arch, const R: usize>(self, arch: A) {
        let MultiplyInt8 { a, rows, depth, panel, sums } = self;
        let columns = R * arch.isa().i32().len();
        assert!(rows > 0 && depth > 0 && depth.is_multiple_of(4) && a.len() >= rows * depth);
        assert!(panel.len() >= depth * columns && sums.len() >= rows * columns);
        for_each_tile(
            rows,
            Prefetch::new(panel.as_ptr(), depth * columns),
            #[inline(always)]
            |row, height, prefetch| {
                // SAFETY: by the assertions above the tile's rows lie within `a` and `sums`.
                unsafe {
                    let a = a.as_ptr().add(row * depth);
                    let tile = Tile { stride: depth, steps: depth / 4, columns, first: true, prefetch };
                    let sums = sums.as_mut_ptr().add(row * columns);
                    match height {
                        1 => tile.int8::<A, 1, R>(arch, a, panel.as_ptr(), sums),
                        2 => tile.int8::<A, 2, R>(arch, a, panel.as_ptr(), sums),
                        3 => tile.int8::<A, 3, R>(arch, a, panel.as_ptr(), sums),
                        4 => tile.int8::<A, 4, R>(arch, a, panel.as_ptr(), sums),
                        5 => tile.int8::<A, 5, R>(arch, a, panel.as_ptr(), sums),
                        _ => tile.int8::<A, 6, R>(arch, a, panel.as_ptr(), sums),
                    }
                }
            },
        );
    }
}

impl Level {
    /// Multiplies with this level's instructions.
    pub fn multiply_f32(self, product: MultiplyF32<'_>) {
        self.run(product);
    }

    /// Multiplies with this level's instructions.
    ///
    /// # Panics
    /// Where the level has no dot product ([`Level::has_dot`]).
    pub fn multiply_int8(self, product: MultiplyInt8<'_>) {
        assert!(self.has_dot());
        self.run(product);
    }
}

/// Calls `tile(first row, rows, what to prefetch)` for tiles of about equal height that cover
/// `rows`, each with its share of `prefetch`.
#[inline(always)]
fn for_each_tile(rows: usize, prefetch: Prefetch, mut tile: impl FnMut(usize, usize, Prefetch)) {
    let tiles = rows.div_ceil(TILE_ROWS);
    let (mut row, mut fetched) = (0, 0);
    for index in 0..tiles {
        let height = (rows - row).div_ceil(tiles - index);
        let due = prefetch.lines * (index + 1) / tiles;
        let next = prefetch.next.wrapping_add(fetched * LINE);
        tile(row, height, Prefetch { next, lines: due - fetched, ..prefetch });
        (row, fetched) = (row + height, due);
    }
}

/// Cache lines to ask for, in [`STREAMS`] streams.
#[derive(Clone, Copy)]
struct Prefetch {
    /// The next line of the first stream.
    next: *const u8,
    /// Lines of each stream.
    lines: usize,
    /// Bytes from one stream to the next.
    apart: usize,
}

impl Prefetch {
    /// As many elements as are used from `start` on, [`AHEAD`] of it.
    #[inline(always)]
    fn new<T>(start: *const T, elements: usize) -> Self {
        let lines = elements * size_of::<T>() / (STREAMS * LINE);
        Prefetch { next: start.cast::<u8>().wrapping_add(AHEAD), lines, apart: lines * LINE }
    }
}

/// One tile's part of a product.
struct Tile {
    stride: usize,
    steps: usize,
    columns: usize,
    /// Whether the sums start here, instead of being continued.
    first: bool,
    prefetch: Prefetch,
}

impl Tile {
    /// Calls `step` for every step of the depth, in order, and prefetches between them.
    #[inline(always)]
    fn walk<A: Arch>(&self, arch: A, mut step: impl FnMut(usize)) {
        let blocks = self.steps / STEPS;
        let Prefetch { mut next, lines, apart } = self.prefetch;
        let lines = lines.div_ceil(blocks.max(1));
        for block in 0..blocks {
            for _ in 0..lines {
                for stream in 0..STREAMS {
                    arch.prefetch(next.wrapping_add(stream * apart));
                }
                next = next.wrapping_add(LINE);
            }
            for index in 0..STEPS {
                step(block * STEPS + index);
            }
        }
        for index in blocks * STEPS..self.steps {
            step(index);
        }
    }

    /// # Safety
    /// `a` must have `ROWS` rows of `steps` elements, `panel` `steps` rows, and `sums` `ROWS` rows,
    /// initialised unless `first`.
    #[inline(always)]
    unsafe fn f32<A: Arch, const ROWS: usize, const R: usize>(
        &self,
        arch: A,
        a: *const f32,
        panel: *const f32,
        sums: *mut f32,
    ) {
        let ops = arch.isa().f32();
        let lanes = ops.len();
        let mut tile = [[ops.zero(); R]; ROWS];
        if !self.first {
            for (row, registers) in tile.iter_mut().enumerate() {
                for (at, register) in registers.iter_mut().enumerate() {
                    // SAFETY: within `sums`, which this panel's earlier steps wrote.
                    *register = unsafe { ops.load_ptr(sums.add(row * self.columns + at * lanes)) };
                }
            }
        }
        self.walk(
            arch,
            #[inline(always)]
            |step| {
                // SAFETY: `step` is below `steps`, for which the caller answers.
                unsafe {
                    let weights: [_; R] = std::array::from_fn(
                        #[inline(always)]
                        |at| ops.load_ptr(panel.add(step * self.columns + at * lanes)),
                    );
                    for (row, registers) in tile.iter_mut().enumerate() {
                        let activation = ops.splat(*a.add(row * self.stride + step));
                        for (register, weight) in registers.iter_mut().zip(weights) {
                            *register = ops.mul_add(activation, weight, *register);
                        }
                    }
                }
            },
        );
        for (row, registers) in tile.iter().enumerate() {
            for (at, register) in registers.iter().enumerate() {
                // SAFETY: within `sums`.
                unsafe { ops.store_ptr(*register, sums.add(row * self.columns + at * lanes)) };
            }
        }
    }

    /// # Safety
    /// `a` must have `ROWS` rows of `4 * steps` elements, `panel` `steps` rows of groups, and `sums`
    /// `ROWS` rows.
    #[inline(always)]
    unsafe fn int8<A: Arch, const ROWS: usize, const R: usize>(
        &self,
        arch: A,
        a: *const u8,
        panel: *const i8,
        sums: *mut i32,
    ) {
        let ops = arch.isa().i32();
        let lanes = ops.len();
        let mut tile = [[ops.zero(); R]; ROWS];
        self.walk(
            arch,
            #[inline(always)]
            |step| {
                // SAFETY: `step` is below `steps`, for which the caller answers; nothing has to be aligned.
                unsafe {
                    let weights: [_; R] = std::array::from_fn(
                        #[inline(always)]
                        |at| ops.load_ptr(panel.cast::<i32>().add(step * self.columns + at * lanes)),
                    );
                    for (row, registers) in tile.iter_mut().enumerate() {
                        let activations = ops.splat(a.add(row * self.stride + 4 * step).cast::<i32>().read_unaligned());
                        for (register, weight) in registers.iter_mut().zip(weights) {
                            *register = arch.dot(*register, activations, weight);
                        }
                    }
                }
            },
        );
        for (row, registers) in tile.iter().enumerate() {
            for (at, register) in registers.iter().enumerate() {
                // SAFETY: within `sums`.
                unsafe { ops.store_ptr(*register, sums.add(row * self.columns + at * lanes)) };
            }
        }
    }
}
