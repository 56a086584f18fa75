//! The ops against plain candle, with the instructions of every level that this processor has.

use std::ops::Range;
use std::sync::Arc;

use audit_anomaly::config::Precision;
use audit_anomaly::model::ops::attention::Attention;
use audit_anomaly::model::ops::buffer::Arena;
use audit_anomaly::model::ops::first::FirstAttention;
use audit_anomaly::model::ops::level::Level;
use audit_anomaly::model::ops::linear::{Activation, Linear, ResidualLinear};
use audit_anomaly::model::ops::matrix::{Input, Matrix, Sums, Weights};
use audit_anomaly::model::ops::norm::LayerNorm;
use audit_anomaly::model::ops::quantize::{Quantized, largest, padded};
use audit_anomaly::model::ops::threads::{Threads, together};
use candle_core::{D, DType, Device, Tensor};
use proptest::prelude::*;

const CPU: &Device = &Device::Cpu;

/// Numbers that look random and are the same every time, -1 to 1.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn arena() -> Arc<Arena> {
    Arena::new(1 << 22).unwrap()
}

fn tensor(seed: u64, rows: usize, columns: usize) -> Tensor {
    Tensor::from_vec(numbers(seed, rows * columns), (rows, columns), CPU).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn furthest(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Sizes that fill tiles and panels, and such that do not.
fn sizes() -> impl Strategy<Value = (usize, usize, usize)> {
    (
        prop_oneof![9 => 1..40_usize, 1 => 120..140_usize],
        prop_oneof![1..20_usize, 120..140_usize, Just(256_usize)],
        prop_oneof![1..20_usize, 60..150_usize],
    )
}

struct Layer {
    /// `[outputs, inputs]`, as files have it.
    weight: Tensor,
    bias: Tensor,
}

impl Layer {
    fn new(inputs: usize, outputs: usize) -> Self {
        Layer { weight: tensor(1, outputs, inputs), bias: tensor(2, 1, outputs) }
    }

    fn matrix(&self, level: Level, precision: Precision) -> Matrix {
        let inputs = self.weight.dims()[1];
        Matrix::pack(&arena(), level, precision, inputs, &[&values(&self.weight)]).unwrap()
    }

    fn op(&self, level: Level, precision: Precision, activation: Activation) -> Linear {
        Linear::new(self.matrix(level, precision), values(&self.bias), activation)
    }

    fn reference(&self, x: &Tensor, activation: Activation) -> Tensor {
        let y = x.matmul(&self.weight.t().unwrap()).unwrap().broadcast_add(&self.bias).unwrap();
        match activation {
            Activation::None => y,
            Activation::Gelu => y.gelu_erf().unwrap(),
            Activation::Relu => y.relu().unwrap(),
            Activation::Tanh => y.tanh().unwrap(),
        }
    }
}

fn run(op: &Linear, x: &Tensor, outputs: usize, threads: Threads<'_>) -> Tensor {
    let out = Tensor::zeros((x.dims()[0], outputs), DType::F32, CPU).unwrap();
    out.inplace_op2(x, &op.on(threads)).unwrap();
    out
}

/// The rows of sequences of these lengths.
fn one_after_the_other(lengths: &[usize]) -> Vec<Range<usize>> {
    let mut end = 0;
    lengths
        .iter()
        .map(|length| {
            end += length;
            end - length..end
        })
        .collect()
}

/// Attention of some queries to the tokens of one sequence, by candle.
fn attention_of(queries: &Tensor, keys: &Tensor, values: &Tensor, heads: usize) -> Tensor {
    let (rows, dim) = queries.dims2().unwrap();
    let split = |x: &Tensor| {
        let x = x.contiguous().unwrap().reshape(((), heads, dim / heads)).unwrap();
        x.transpose(0, 1).unwrap().contiguous().unwrap()
    };
    let scores = split(queries).matmul(&split(keys).t().unwrap()).unwrap();
    let weights = candle_nn::ops::softmax(&(scores / ((dim / heads) as f64).sqrt()).unwrap(), D::Minus1).unwrap();
    let context = weights.matmul(&split(values)).unwrap().transpose(0, 1).unwrap();
    context.contiguous().unwrap().reshape((rows, dim)).unwrap()
}

fn first_attention(level: Level, heads: usize, key: &Layer, value: &Layer) -> FirstAttention {
    let arena = arena();
    let buffer = |layer: &Layer| {
        let weights = values(&layer.weight);
        let mut buffer = arena.take(weights.len()).unwrap();
        buffer.copy_from_slice(&weights);
        buffer
    };
    FirstAttention { level, heads, key: buffer(key), value: buffer(value), value_bias: values(&value.bias) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn linear_equals_candle((rows, inputs, outputs) in sizes(), which in 0..4_usize) {
        let activation = [Activation::None, Activation::Gelu, Activation::Relu, Activation::Tanh][which];
        let (layer, x) = (Layer::new(inputs, outputs), tensor(3, rows, inputs));
        let expected = layer.reference(&x, activation);
        for level in Level::supported() {
            let out = run(&layer.op(level, Precision::F32, activation), &x, outputs, Threads::ONE);
            prop_assert!(furthest(&out, &expected) < 2e-5, "{}", level.name());
        }
    }

    /// A row's result depends neither on the rows around it nor on the threads, in either precision.
    #[test]
    fn rows_are_independent_to_the_last_bit((rows, inputs, outputs) in sizes(), int8: bool) {
        let precision = if int8 { Precision::Int8 } else { Precision::F32 };
        let (layer, x) = (Layer::new(inputs, outputs), tensor(3, rows, inputs));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for level in Level::supported() {
            let op = layer.op(level, precision, Activation::Gelu);
            let whole = values(&run(&op, &x, outputs, Threads::ONE));
            let split = pool.install(|| together(3, |threads| run(&op, &x, outputs, threads)));
            prop_assert_eq!(&whole, &values(&split));
            for (row, whole) in whole.chunks(outputs).enumerate() {
                let alone = run(&op, &x.narrow(0, row, 1).unwrap(), outputs, Threads::ONE);
                prop_assert_eq!(&values(&alone), whole, "row {} with {}", row, level.name());
            }
        }
    }

    /// The sums of int8 products are those of plain integer arithmetic, at the extremes of the range too.
    #[test]
    fn int8_products_are_exact((rows, inputs, outputs) in sizes(), extreme: bool) {
        let stretch = |x: f32| if extreme { x.signum() } else { x };
        let weight: Vec<f32> = numbers(1, inputs * outputs).into_iter().map(stretch).collect();
        let x: Vec<f32> = numbers(3, rows * inputs).into_iter().map(stretch).collect();
        let whole: Vec<Vec<i32>> = weight
            .chunks(inputs)
            .map(|row| {
                let largest = row.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                row.iter().map(|x| (x * (127.0 / largest)).round_ties_even() as i32).collect()
            })
            .collect();
        for level in Level::supported() {
            let matrix = Matrix::pack(&arena(), level, Precision::Int8, inputs, &[&weight]).unwrap();
            let mut activations = Quantized::default();
            activations.fill(level, Threads::ONE, audit_anomaly::model::ops::Rows::new(&x, inputs));
            let depth = padded(inputs);
            prop_assert!(activations.values.iter().all(|&value| value <= largest(level).saturating_add(1)));
            let mut sums = Sums::default();
            for panel in 0..matrix.panels() {
                matrix.multiply(panel, &Input::Int8 { activations: &activations, rows: 0..rows }, &mut sums);
                for row in 0..rows {
                    for column in 0..matrix.columns.min(outputs - panel * matrix.columns) {
                        let a = &activations.values[row * depth..][..inputs];
                        let w = &whole[panel * matrix.columns + column];
                        let expected: i32 = a.iter().zip(w).map(|(&a, w)| i32::from(a) * w).sum();
                        prop_assert_eq!(sums.int8[row * matrix.columns + column], expected, "{}", level.name());
                    }
                }
            }
        }
    }

    /// The error of int8 is that of rounding: half a step of each operand.
    #[test]
    fn int8_is_near_f32((rows, inputs, outputs) in sizes()) {
        let (layer, x) = (Layer::new(inputs, outputs), tensor(3, rows, inputs));
        let expected = layer.reference(&x, Activation::None);
        for level in Level::supported() {
            let out = run(&layer.op(level, Precision::Int8, Activation::None), &x, outputs, Threads::ONE);
            let steps = 2.0 / f32::from(largest(level)) + 1.0 / 127.0;
            prop_assert!(furthest(&out, &expected) < 0.6 * steps * inputs as f32, "{}", level.name());
        }
    }

    #[test]
    fn residual_linear_equals_candle((rows, inputs, outputs) in sizes()) {
        // With fewer, a norm divides by almost nothing.
        let outputs = outputs + 8;
        let (layer, x, residual) = (Layer::new(inputs, outputs), tensor(3, rows, inputs), tensor(4, rows, outputs));
        let (weight, bias) = (tensor(5, 1, outputs).squeeze(0).unwrap(), tensor(6, 1, outputs).squeeze(0).unwrap());
        let sum = (layer.reference(&x, Activation::None) + &residual).unwrap();
        let expected = candle_nn::ops::layer_norm_slow(&sum, &weight, &bias, 1e-12).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        for level in Level::supported() {
            let norm = LayerNorm { weight: values(&weight), bias: values(&bias), epsilon: 1e-12 };
            let op = ResidualLinear::new(layer.matrix(level, Precision::F32), values(&layer.bias), norm);
            for threads in [1, 2] {
                let out = Tensor::zeros((rows, outputs), DType::F32, CPU).unwrap();
                pool.install(|| together(threads, |threads| out.inplace_op3(&x, &residual, &op.on(threads)))).unwrap();
                prop_assert!(furthest(&out, &expected) < 1e-4, "{}", level.name());
            }
        }
    }

    #[test]
    fn attention_equals_candle(
        lengths in prop::collection::vec(1..90_usize, 1..5),
        heads in 1..4_usize,
        size in prop_oneof![1..20_usize, Just(64_usize), 65..80_usize],
    ) {
        let (dim, tokens) = (heads * size, lengths.iter().sum());
        let sequences = one_after_the_other(&lengths);
        // As the encoder has them: side by side in one matrix.
        let projected = tensor(7, tokens, 3 * dim);
        let queries = projected.narrow(1, 0, dim).unwrap();
        let keys_values = projected.narrow(1, dim, 2 * dim).unwrap();
        let expected: Vec<Tensor> = sequences
            .iter()
            .map(|rows| {
                let of = |x: &Tensor| x.narrow(0, rows.start, rows.len()).unwrap();
                let keys_values = of(&keys_values);
                let [keys, values] = [0, dim].map(|start| keys_values.narrow(1, start, dim).unwrap());
                attention_of(&of(&queries), &keys, &values, heads)
            })
            .collect();
        let expected = Tensor::cat(&expected, 0).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for level in Level::supported() {
            for threads in [1, 3] {
                let out = Tensor::zeros((tokens, dim), DType::F32, CPU).unwrap();
                let attend = |threads: Threads<'_>| {
                    let op = Attention { level, threads, heads, sequences: &sequences };
                    out.inplace_op3(&queries, &keys_values, &op)
                };
                pool.install(|| together(threads, attend)).unwrap();
                prop_assert!(furthest(&out, &expected) < 2e-5, "{}", level.name());
            }
        }
    }

    #[test]
    fn attention_of_first_tokens_equals_candle(
        lengths in prop::collection::vec(1..90_usize, 1..5),
        heads in 1..4_usize,
        size in prop_oneof![1..20_usize, Just(64_usize), 65..80_usize],
    ) {
        let (dim, tokens) = (heads * size, lengths.iter().sum());
        let sequences = one_after_the_other(&lengths);
        let (x, queries) = (tensor(7, tokens, dim), tensor(8, lengths.len(), dim));
        // Large enough for scores that differ, small enough for f32 to hold them.
        let [key, value] = [9, 10].map(|seed| {
            let weight = (tensor(seed, dim, dim) / (dim as f64).sqrt()).unwrap();
            Layer { weight, bias: tensor(seed + 2, 1, dim) }
        });
        let expected: Vec<Tensor> = sequences
            .iter()
            .enumerate()
            .map(|(index, rows)| {
                let x = x.narrow(0, rows.start, rows.len()).unwrap();
                let [keys, values] = [&key, &value].map(|layer| layer.reference(&x, Activation::None));
                attention_of(&queries.narrow(0, index, 1).unwrap(), &keys, &values, heads)
            })
            .collect();
        let expected = Tensor::cat(&expected, 0).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for level in Level::supported() {
            let op = first_attention(level, heads, &key, &value);
            for threads in [1, 3] {
                let out = Tensor::zeros((lengths.len(), dim), DType::F32, CPU).unwrap();
                let attend = |threads: Threads<'_>| out.inplace_op3(&queries, &x, &op.on(&sequences, threads));
                pool.install(|| together(threads, attend)).unwrap();
                prop_assert!(furthest(&out, &expected) < 2e-5, "{}", level.name());
            }
        }
    }
}

#[test]
fn weights_that_are_not_finite_are_refused_where_they_would_vanish() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut weight = numbers(1, 3 * 8);
        weight[13] = bad;
        for level in Level::supported() {
            let error = Matrix::pack(&arena(), level, Precision::Int8, 8, &[&weight]).err().expect("it must not pack");
            assert_eq!(error.code(), "MODEL_INVALID");
        }
    }
}

#[test]
fn activations_that_are_not_finite_stay_so_in_int8_and_spoil_no_other_row() {
    for bad in [f32::NAN, f32::INFINITY] {
        let mut x = numbers(3, 2 * 70);
        x[33] = bad;
        let x = Tensor::from_vec(x, (2, 70), CPU).unwrap();
        for level in Level::supported() {
            let out =
                values(&run(&Layer::new(70, 5).op(level, Precision::Int8, Activation::Gelu), &x, 5, Threads::ONE));
            assert!(out[..5].iter().all(|x| x.is_nan()), "{out:?} with {}", level.name());
            assert!(out[5..].iter().all(|x| x.is_finite()), "{out:?} with {}", level.name());
        }
    }
}

#[test]
fn a_weight_of_zeros_gives_zeros() {
    for level in Level::supported() {
        let matrix = Matrix::pack(&arena(), level, Precision::Int8, 8, &[&[0.0; 24]]).unwrap();
        assert!(matches!(&matrix.weights, Weights::Int8 { scales, .. } if scales.iter().all(|scale| *scale == 0.0)));
        let op = Linear::new(matrix, vec![0.5; 3], Activation::None);
        assert_eq!(values(&run(&op, &tensor(3, 2, 8), 3, Threads::ONE)), [0.5; 6]);
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let op = Layer::new(8, 3).op(Level::best(), Precision::F32, Activation::None);
    let out = Tensor::zeros((2, 3), DType::F32, CPU).unwrap();
    let transposed = tensor(3, 8, 2).t().unwrap();
    assert!(out.inplace_op2(&transposed, &op.on(Threads::ONE)).is_err(), "rows must have unit stride");
    assert!(out.inplace_op2(&tensor(3, 2, 7), &op.on(Threads::ONE)).is_err(), "inputs");
    assert!(out.inplace_op2(&tensor(3, 1, 8), &op.on(Threads::ONE)).is_err(), "rows");

    let out = Tensor::zeros((4, 6), DType::F32, CPU).unwrap();
    let (queries, keys_values) = (tensor(1, 4, 6), tensor(2, 4, 12));
    let attend = |heads, sequences: &[Range<usize>]| {
        let op = Attention { level: Level::best(), threads: Threads::ONE, heads, sequences };
        out.inplace_op3(&queries, &keys_values, &op)
    };
    assert!(attend(2, &[0..2, 2..4]).is_ok());
    assert!(attend(4, &[0..2, 2..4]).is_err(), "heads");
    assert!(attend(2, &[0..3, 2..4]).is_err(), "two sequences share a row");
    assert!(attend(2, &[0..2, 2..5]).is_err(), "tokens");

    let square = Layer::new(6, 6);
    let (out, queries, tokens) = (tensor(1, 2, 6), tensor(2, 2, 6), tensor(3, 4, 6));
    let attend = |heads, queries: &Tensor, tokens: &Tensor, sequences: &[Range<usize>]| {
        let op = first_attention(Level::best(), heads, &square, &square);
        out.inplace_op3(queries, tokens, &op.on(sequences, Threads::ONE))
    };
    assert!(attend(2, &queries, &tokens, &[0..1, 1..4]).is_ok());
    assert!(attend(4, &queries, &tokens, &[0..1, 1..4]).is_err(), "heads");
    assert!(attend(2, &queries, &tokens, &[0..1, 1..5]).is_err(), "tokens");
    assert!(attend(2, &queries, &tokens, &[0..1, 1..1]).is_err(), "a sequence without a token");
    assert!(attend(2, &queries, &tokens, &[0..1, 1..2, 2..4]).is_err(), "sequences");
    assert!(attend(2, &tensor(2, 2, 5), &tokens, &[0..1, 1..4]).is_err(), "queries");
    assert!(attend(2, &queries, &tensor(3, 4, 5), &[0..1, 1..4]).is_err(), "tokens");
}
