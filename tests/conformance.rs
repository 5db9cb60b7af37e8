//! Every kernel, storage and form of it, on every adapter present. No adapter is a failure.

use diffews_wgpu::conformance::run_case;
use diffews_wgpu::gpu::{AdapterChoice, Gpu, list};
use diffews_wgpu::kernels::ALL;
use diffews_wgpu::plan::Storage;

const SEED: u64 = 20241;

#[test]
fn every_kernel_on_every_adapter() {
    let adapters = list(&AdapterChoice::default());
    assert!(!adapters.is_empty(), "no adapter is present: nothing was tested");
    let mut failed = 0;
    for facts in adapters {
        let choice = AdapterChoice { adapter: Some(facts.index.to_string()), ..Default::default() };
        let gpu = Gpu::new(&choice).expect("adapter opens");
        println!("{} ({}), seed {SEED}", facts.name, facts.driver);
        for kernel in ALL {
            for case in (kernel.cases)() {
                for storage in [Storage::F32, Storage::Packed, Storage::F16, Storage::Mixed] {
                    for &tuning in kernel.tunings {
                        if gpu.supports(storage) && gpu.tunings().contains(&tuning) {
                            let outcome = run_case(&gpu, &case, storage, tuning, SEED);
                            println!("{outcome}");
                            failed += u32::from(!outcome.passed());
                        }
                    }
                }
            }
        }
    }
    assert_eq!(failed, 0, "cases failed");
}
