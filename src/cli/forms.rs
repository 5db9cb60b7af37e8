//! `--form`: a kernel in the form that the user names.

use clap::Args;
use diffews_wgpu::gpu::{Gpu, GpuError};
use diffews_wgpu::kernels;
use diffews_wgpu::shader::{Form, Kernel};
use std::collections::BTreeSet;

#[derive(Args)]
pub struct FormArgs {
    /// Compute this kernel in this form alone, for tests and measurements; given several times, in the first that a layer's shape
    /// allows. That there is none, or one that the adapter does not allow, is an error [default: by the kind of adapter and each
    /// layer's shape]
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
        return Err("KERNEL=FORM is wanted, as conv2d=tiled-64".into());
    };
    let Some(kernel) = several().find(|k| k.name == kernel) else {
        return Err(format!("the kernels that have several forms are {}", list(several().map(|k| k.name).collect())));
    };
    match kernel.form(form) {
        Some(form) => Ok(Asked { kernel, form }),
        None => Err(format!("{} has {}", kernel.name, list(kernel.forms.iter().map(|f| f.name).collect()))),
    }
}

impl FormArgs {
    /// The same device, with these forms.
    ///
    /// # Errors
    /// A form that needs what the adapter lacks.
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
