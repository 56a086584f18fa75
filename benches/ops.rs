//! The ops at the sizes of DistilBERT, on one thread: `cargo bench --bench ops`.
//!
//! The weights of all six blocks are walked through, as a forward pass does, so that they come
//! from memory and not from the cache. `rten-gemm` multiplies the same matrices for comparison.

use std::hint::black_box;

use audit_anomaly::config::Precision;
use audit_anomaly::model::ops::Rows;
use audit_anomaly::model::ops::attention::Attention;
use audit_anomaly::model::ops::buffer::Arena;
use audit_anomaly::model::ops::level::Level;
use audit_anomaly::model::ops::linear::{Activation, Linear};
use audit_anomaly::model::ops::matrix::{Input, Matrix, Sums};
use audit_anomaly::model::ops::norm::LayerNorm;
use audit_anomaly::model::ops::quantize::{Quantized, padded};
use audit_anomaly::model::ops::threads::Threads;
use candle_core::{DType, Device, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::{AsView, NdTensor, NdTensorView};

/// Inputs and outputs of a block's matrices: queries, keys and values; attention's output; both
/// layers of the feed-forward network.
const SHAPES: [(usize, usize); 4] = [(768, 2304), (768, 768), (768, 3072), (3072, 768)];
const BLOCKS: usize = 6;
const ROWS: [usize; 3] = [16, 64, 128];

/// Numbers that look random and are the same every time, -1 to 1.
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn shapes() -> impl Iterator<Item = (usize, usize)> {
    (0..BLOCKS).flat_map(|_| SHAPES)
}

fn products(criterion: &mut Criterion) {
    // rten-gemm would take all threads of rayon's pool.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("nobody has used the pool before");
    let x = numbers(128 * 3072);
    let weights = numbers(3072 * 3072);
    for precision in [Precision::F32, Precision::Int8] {
        let mut group = criterion.benchmark_group(format!("product {precision:?}"));
        let arena = Arena::new(1 << 28).unwrap();
        let pack = |(inputs, outputs): (usize, usize)| {
            Matrix::pack(&arena, Level::best(), precision, inputs, &[&weights[..inputs * outputs]])
        };
        let matrices: Vec<Matrix> = shapes().map(|shape| pack(shape).unwrap()).collect();
        for rows in ROWS {
            let operations: usize = shapes().map(|(inputs, outputs)| 2 * rows * inputs * outputs).sum();
            group.throughput(Throughput::Elements(operations as u64));
            group.bench_function(BenchmarkId::new("ours", rows), |bencher| {
                let (mut sums, mut quantized) = (Sums::default(), Quantized::default());
                bencher.iter(|| {
                    for matrix in &matrices {
                        let x = Rows::new(&x[..rows * matrix.inputs], matrix.inputs);
                        let input = match precision {
                            Precision::F32 => Input::F32(x),
                            Precision::Int8 => {
                                quantized.fill(matrix.level, Threads::ONE, x);
                                Input::Int8 { activations: &quantized, rows: 0..rows }
                            }
                        };
                        for panel in 0..matrix.panels() {
                            matrix.multiply(panel, &input, &mut sums);
                        }
                    }
                    black_box(&sums);
                });
            });
        }
        drop(matrices);
        match precision {
            Precision::F32 => library_f32(&mut group, &x, &weights),
            Precision::Int8 => library_int8(&mut group, &weights),
        }
    }
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn library_f32(group: &mut Group<'_>, x: &[f32], weights: &[f32]) {
    let executor = GemmExecutor::<f32>::new();
    let pack = |(inputs, outputs): (usize, usize)| {
        executor.prepack_b(NdTensorView::from_data([inputs, outputs], &weights[..inputs * outputs]))
    };
    let matrices: Vec<PackedBMatrix<f32>> = shapes().map(pack).collect();
    for rows in ROWS {
        let mut out = vec![0.0; rows * 3072];
        group.bench_function(BenchmarkId::new("rten-gemm", rows), |bencher| {
            bencher.iter(|| {
                for matrix in &matrices {
                    let a = NdTensorView::from_data([rows, matrix.rows()], &x[..rows * matrix.rows()]);
                    let out = &mut out[..rows * matrix.cols()];
                    executor
                        .gemm(out, GemmInputA::Unpacked(a), GemmInputB::Packed(matrix), GemmOptions::default())
                        .unwrap();
                }
                black_box(&out);
            });
        });
    }
}

fn library_int8(group: &mut Group<'_>, weights: &[f32]) {
    let executor = GemmExecutor::<u8, i8, i32>::new();
    let pack = |(inputs, outputs): (usize, usize)| {
        let weight = |[k, n]: [usize; 2]| (weights[k * outputs + n] * 127.0) as i8;
        executor.prepack_b(NdTensor::from_fn([inputs, outputs], weight).view())
    };
    let matrices: Vec<PackedBMatrix<i8>> = shapes().map(pack).collect();
    for rows in ROWS {
        let x: Vec<u8> = (0..rows * padded(3072)).map(|index| (index * 31 % 256) as u8).collect();
        let mut out = vec![0; rows * 3072];
        group.bench_function(BenchmarkId::new("rten-gemm", rows), |bencher| {
            bencher.iter(|| {
                for matrix in &matrices {
                    let a = NdTensorView::from_data([rows, matrix.rows()], &x[..rows * matrix.rows()]);
                    let out = &mut out[..rows * matrix.cols()];
                    executor
                        .gemm(out, GemmInputA::Unpacked(a), GemmInputB::Packed(matrix), GemmOptions::default())
                        .unwrap();
                }
                black_box(&out);
            });
        });
    }
}

/// What surrounds the products, for 128 tokens.
fn others(criterion: &mut Criterion) {
    let (rows, dim, inner) = (128, 768, 3072);
    let tensor = |rows, columns| Tensor::from_vec(numbers(rows * columns), (rows, columns), &Device::Cpu).unwrap();
    let zeros = |rows, columns| Tensor::zeros((rows, columns), DType::F32, &Device::Cpu).unwrap();
    let mut group = criterion.benchmark_group("128 tokens");

    let (projected, context) = (tensor(rows, 3 * dim), zeros(rows, dim));
    let (queries, keys_values) = (projected.narrow(1, 0, dim).unwrap(), projected.narrow(1, dim, 2 * dim).unwrap());
    for length in [16, 128] {
        let sequences: Vec<_> = (0..rows).step_by(length).map(|start| start..start + length).collect();
        let op = Attention { level: Level::best(), threads: Threads::ONE, heads: 12, sequences: &sequences };
        group.bench_function(format!("attention, sequences of {length}"), |bencher| {
            bencher.iter(|| context.inplace_op3(&queries, &keys_values, &op).unwrap());
        });
    }

    let norm = LayerNorm { weight: numbers(dim), bias: numbers(dim), epsilon: 1e-12 };
    let mut hidden = numbers(rows * dim);
    group.bench_function("layer norm", |bencher| bencher.iter(|| norm.normalize(Level::best(), &mut hidden)));

    let wide = numbers(rows * inner);
    let mut quantized = Quantized::default();
    group.bench_function("quantize the inner vectors", |bencher| {
        bencher.iter(|| quantized.fill(Level::best(), Threads::ONE, Rows::new(&wide, inner)));
    });

    let (x, out) = (tensor(rows, dim), zeros(rows, inner));
    for precision in [Precision::F32, Precision::Int8] {
        for activation in [Activation::None, Activation::Gelu] {
            let matrix =
                Matrix::pack(&Arena::new(1 << 24).unwrap(), Level::best(), precision, dim, &[&numbers(dim * inner)])
                    .unwrap();
            let op = Linear::new(matrix, vec![0.1; inner], activation);
            group.bench_function(format!("linear {precision:?}, 768 to 3072, {activation:?}"), |bencher| {
                bencher.iter(|| out.inplace_op2(&x, &op.on(Threads::ONE)).unwrap());
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = products, others
}
criterion_main!(benches);
