//! `--form`: the form of a kernel, chosen by the user.

use clap::Args;
use diffews_wgpu::gpu::{Gpu, GpuError};
use diffews_wgpu::kernels;
use diffews_wgpu::shader::{Form, Kernel};
use std::collections::BTreeSet;

#[derive(Args)]
pub struct FormArgs {
    /// Run this kernel in this form only, for tests and measurements; if given several times, in the first form that a layer's shape
    /// allows. It is an error if no form fits a layer, or the adapter does not support one [default: by adapter and layer
    /// shape]
    #[arg(long = "form", value_name = "KERNEL=FORM", value_parser = asked, help_heading = "Adapter")]
    forms: Vec<Asked>,
}

/// A kernel and one of its forms.
#[derive(Clone, Copy)]
struct Asked {
    kernel: &'static Kernel,
    form: &'static Form,
}

fn asked(text: &str) -> Result<Asked, String> {
    let several = || kernels::ALL.into_iter().filter(|kernel| kernel.forms.len() > 1);
    let list = |names: Vec<&str>| names.join(", ");
    let Some((kernel, form)) = text.split_once('=') else {
        return Err("it must be KERNEL=FORM, as conv2d=tiled-64".into());
    };
    let Some(kernel) = several().find(|k| k.name == kernel) else {
        return Err(format!(
            "unknown kernel; kernels with several forms are {}",
            list(several().map(|k| k.name).collect())
        ));
    };
    match kernel.form(form) {
        Some(form) => Ok(Asked { kernel, form }),
        None => {
            Err(format!("unknown form; {} has {}", kernel.name, list(kernel.forms.iter().map(|f| f.name).collect())))
        }
    }
}

impl FormArgs {
    /// The device with these forms.
    ///
    /// # Errors
    /// The adapter lacks a feature that a form needs.
    pub fn on(&self, mut gpu: Gpu) -> anyhow::Result<Gpu> {
        for Asked { kernel, form } in &self.forms {
            if let Some(lacks) = form.needs.lacks(&gpu.forms.facts) {
                let name = &gpu.facts().name;
                return Err(
                    GpuError::NoAdapter(format!("{name} cannot run {}={}: {lacks}", kernel.name, form.name)).into()
                );
            }
        }
        let kernels: BTreeSet<&str> = self.forms.iter().map(|asked| asked.kernel.name).collect();
        for kernel in kernels {
            let of = self.forms.iter().filter(|asked| asked.kernel.name == kernel);
            let names: Vec<&str> = of.map(|asked| asked.form.name).collect();
            gpu.forms = gpu.forms.forcing_one_of(kernel, &names);
        }
        Ok(gpu)
    }
}
