//! burn on wgpu: uses the driver that the loader finds, with burn's autotuning and fusion of elementwise operations.

use crate::{Peer, Ready, Row};
use burn::module::Param;
use burn::nn::GroupNormConfig;
use burn::tensor::activation::{gelu, silu, softmax};
use burn::tensor::module::{attention, conv2d, layer_norm, linear};
use burn::tensor::ops::{AttentionModuleOptions, ConvOptions};
use burn::tensor::wgpu::WgpuBackend;
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::rc::Rc;

pub struct Burn {
    device: Device,
    adapter: String,
}

impl Burn {
    pub fn new() -> Burn {
        let options = Device::wgpu_options().graphics_api(WgpuBackend::Vulkan);
        let (device, setup) = options.init_with_setup().expect("no adapter");
        let info = setup.adapter.get_info();
        Burn { device, adapter: format!("{}, {}", info.name, info.driver_info) }
    }

    fn tensor<const D: usize>(&self, row: &Row, name: &str) -> Tensor<D> {
        let (values, shape) = row.tensor(name);
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }
}

/// Results are kept until the device has computed all of them, so that nothing is optimized away.
fn ready<const D: usize>(device: &Device, compute: impl Fn() -> Tensor<D> + 'static) -> Ready {
    let last: Rc<RefCell<Option<Tensor<D>>>> = Rc::default();
    let (kept, device) = (last.clone(), device.clone());
    let run = move |times: usize| {
        let mut results: Vec<_> = (0..times).map(|_| compute()).collect();
        device.sync().expect("the device failed");
        *kept.borrow_mut() = results.pop();
    };
    let values = move || {
        let tensor = last.borrow().clone().expect("nothing has run");
        tensor.into_data().to_vec::<f32>().expect("no f32 values")
    };
    Ready { run: Box::new(run), result: Box::new(values) }
}

impl Peer for Burn {
    fn about(&self) -> Value {
        let compiler = if cfg!(feature = "spirv") { "SPIR-V" } else { "WGSL" };
        json!({ "name": format!("burn, wgpu ({compiler})"), "version": "burn 0.22.1", "adapter": self.adapter })
    }

    fn variants(&self, op: &str) -> &'static [&'static str] {
        match op {
            "linear" | "geglu" | "conv" | "group_norm" | "layer_norm" => &["burn's own"],
            "attention" => &["attention", "matmul and softmax"],
            _ => &[],
        }
    }

    fn prepare(&self, row: &Row, variant: &str) -> Ready {
        let device = &self.device;
        match row.op() {
            "linear" => {
                let (x, weight) = (self.tensor::<2>(row, "x"), self.tensor::<2>(row, "weight"));
                let bias = self.tensor::<1>(row, "bias");
                ready(device, move || linear(x.clone(), weight.clone(), Some(bias.clone())))
            }
            "geglu" => {
                let (x, weight) = (self.tensor::<2>(row, "x"), self.tensor::<2>(row, "weight"));
                let bias = self.tensor::<1>(row, "bias");
                ready(device, move || {
                    let both = linear(x.clone(), weight.clone(), Some(bias.clone()));
                    let halves = both.chunk(2, 1);
                    halves[0].clone() * gelu(halves[1].clone())
                })
            }
            "conv" => {
                let (x, weight) = (self.tensor::<4>(row, "x"), self.tensor::<4>(row, "weight"));
                let bias = self.tensor::<1>(row, "bias");
                let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
                ready(device, move || conv2d(x.clone(), weight.clone(), Some(bias.clone()), options.clone()))
            }
            "attention" => {
                let [q, k, v] = ["q", "k", "v"].map(|name| self.tensor::<4>(row, name));
                let scale = (row.dim("head") as f64).sqrt().recip();
                let fused = variant == "attention";
                ready(device, move || {
                    let (q, k, v) = (q.clone(), k.clone(), v.clone());
                    if fused {
                        return attention(q, k, v, None, None, AttentionModuleOptions::default());
                    }
                    softmax(q.matmul(k.swap_dims(2, 3)) * scale, 3).matmul(v)
                })
            }
            "group_norm" => {
                let x = self.tensor::<4>(row, "x");
                let config = GroupNormConfig::new(row.dim("groups"), row.dim("channels")).with_epsilon(row.eps());
                let mut norm = config.init(device);
                norm.gamma = Some(Param::from_tensor(self.tensor::<1>(row, "weight")));
                norm.beta = Some(Param::from_tensor(self.tensor::<1>(row, "bias")));
                ready(device, move || silu(norm.forward(x.clone())))
            }
            "layer_norm" => {
                let x = self.tensor::<2>(row, "x");
                let [weight, bias] = ["weight", "bias"].map(|name| self.tensor::<1>(row, name));
                let eps = row.eps();
                ready(device, move || layer_norm(x.clone(), weight.clone(), Some(bias.clone()), eps))
            }
            op => panic!("no operation {op}"),
        }
    }
}
