//! candle on the CPU, with the number of threads that the driver sets (`RAYON_NUM_THREADS`).

use crate::{Peer, Ready, Row};
use candle_core::{Device, Result, Tensor};
use candle_nn::attention::{AttnMask, flash_attn};
use candle_nn::{GroupNorm, Module, ops};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

pub struct Candle;

fn tensor(row: &Row, name: &str) -> Tensor {
    let (values, shape) = row.tensor(name);
    Tensor::from_vec(values, shape, &Device::Cpu).expect("no tensor")
}

fn ready(compute: impl Fn() -> Result<Tensor> + 'static) -> Ready {
    let last: Rc<RefCell<Option<Tensor>>> = Rc::default();
    let kept = last.clone();
    let run = move |times: usize| {
        for _ in 0..times {
            *kept.borrow_mut() = Some(compute().expect("candle failed"));
        }
    };
    let values = move || {
        let tensor = last.borrow().clone().expect("nothing has run");
        tensor.flatten_all().and_then(|t| t.to_vec1::<f32>()).expect("no f32 values")
    };
    Ready { run: Box::new(run), result: Box::new(values) }
}

impl Peer for Candle {
    fn about(&self) -> Value {
        json!({ "name": "candle, CPU", "version": "candle 0.11.1", "adapter": "" })
    }

    fn variants(&self, op: &str) -> &'static [&'static str] {
        match op {
            "linear" | "geglu" | "conv" | "group_norm" | "layer_norm" => &["candle's own"],
            "attention" => &["flash_attn", "matmul and softmax"],
            _ => &[],
        }
    }

    fn prepare(&self, row: &Row, variant: &str) -> Ready {
        let [x, weight, bias] = ["x", "weight", "bias"].map(|name| (row.op() != "attention").then(|| tensor(row, name)));
        let of = |tensor: Option<Tensor>| tensor.expect("not of attention");
        match row.op() {
            "linear" => {
                let (x, weight, bias) = (of(x), of(weight), of(bias));
                ready(move || x.matmul(&weight)?.broadcast_add(&bias))
            }
            "geglu" => {
                let (x, weight, bias) = (of(x), of(weight), of(bias));
                ready(move || {
                    let both = x.matmul(&weight)?.broadcast_add(&bias)?;
                    let halves = both.chunk(2, 1)?;
                    &halves[0] * halves[1].gelu_erf()?
                })
            }
            "conv" => {
                let (x, weight, bias) = (of(x), of(weight), of(bias).reshape((1, (), 1, 1)).expect("no bias"));
                ready(move || x.conv2d(&weight, 1, 1, 1, 1)?.broadcast_add(&bias))
            }
            "attention" => {
                let [q, k, v] = ["q", "k", "v"].map(|name| tensor(row, name));
                let scale = (row.dim("head") as f64).sqrt().recip();
                if variant == "flash_attn" {
                    // It takes positions before heads; the transposition is done beforehand.
                    let turned = |t: &Tensor| t.transpose(1, 2).and_then(|t| t.contiguous()).expect("no tensor");
                    let [q, k, v] = [turned(&q), turned(&k), turned(&v)];
                    return ready(move || flash_attn::<f32>(&q, &k, &v, scale as f32, AttnMask::None, None, None));
                }
                let k = k.t().and_then(|k| k.contiguous()).expect("no tensor");
                ready(move || ops::softmax_last_dim(&(q.matmul(&k)? * scale)?)?.matmul(&v))
            }
            "group_norm" => {
                let norm = GroupNorm::new(of(weight), of(bias), row.dim("channels"), row.dim("groups"), row.eps());
                let (x, norm) = (of(x), norm.expect("no norm"));
                ready(move || norm.forward(&x)?.silu())
            }
            "layer_norm" => {
                let (x, weight, bias, eps) = (of(x), of(weight), of(bias), row.eps() as f32);
                ready(move || ops::layer_norm(&x, &weight, &bias, eps))
            }
            op => panic!("no operation {op}"),
        }
    }
}
