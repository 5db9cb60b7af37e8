//! One device for several users: shared handles, and an application's own device, which must give the same bits.

mod common;

use common::{Fixture, choice, gpu, relative_l2, run};
use diffews_wgpu::gpu::{Arena, GpuError};
use diffews_wgpu::kernels::layer_norm;
use diffews_wgpu::plan::{Channels, Policy, Recorder, Schedule};
use diffews_wgpu::segment::{BankOptions, BankStorage, KvSample, Pass, SelfCheck};
use diffews_wgpu::{BankFile, Error, Example, Gpu, Precision, Segmenter};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn shared<T: Clone + Send + Sync>() {}

/// An application's adapter, and a device on it with these limits and no features.
fn application(limits: wgpu::Limits) -> (wgpu::Adapter, wgpu::Device, wgpu::Queue) {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = choice().backends;
    let instance = wgpu::Instance::new(descriptor);
    // The same adapter as `gpu()` selects.
    let wanted = gpu().facts().clone();
    let all = pollster::block_on(instance.enumerate_adapters(choice().backends));
    let is = |adapter: &wgpu::Adapter| {
        let info = adapter.get_info();
        info.name == wanted.name && info.backend.to_string() == wanted.backend
    };
    let adapter = all.into_iter().find(is).expect("it is found again");
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("a device");
    (adapter, device, queue)
}

fn map(gpu: Gpu) -> Result<Vec<u32>, Error> {
    let fixture = Fixture::named("odd");
    let run = run(&fixture, gpu, fixture.model(), Precision::F32, &mut |_, _| {})?;
    Ok(run.result.map().map().iter().map(|value| value.to_bits()).collect())
}

#[test]
fn an_applications_device_gives_the_same_bits() {
    shared::<Gpu>();
    let (adapter, device, queue) = application(wgpu::Limits::default());
    let errors = Arc::new(AtomicUsize::new(0));
    let counted = errors.clone();
    device.on_uncaptured_error(Arc::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let theirs = Gpu::from_wgpu(&adapter, device.clone(), queue).unwrap();
    // The device's limits count, not the adapter's.
    let facts = theirs.facts();
    assert_eq!((facts.subgroup_sizes, facts.shader_f16, facts.index), (None, false, None));
    assert_eq!(facts.max_binding_bytes, wgpu::Limits::default().max_storage_buffer_binding_size);
    let mut ours = gpu();
    ours.forms = theirs.forms.clone();
    assert!(theirs.same_device(&theirs.clone()) && !theirs.same_device(&ours));
    assert_eq!(map(theirs.clone()).unwrap(), map(ours).unwrap());

    // Our errors stay ours: a buffer beyond the device's limits.
    let beyond = theirs.buffer("too large", device.limits().max_buffer_size + 4);
    assert!(beyond.unwrap_err().to_string().contains("too large"));
    assert_eq!(errors.load(Ordering::Relaxed), 0);
    // The application's callback is still in place, and its device works after we are gone.
    drop(theirs);
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size: device.limits().max_buffer_size + 4,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    };
    drop(device.create_buffer(&descriptor));
    assert_eq!(errors.load(Ordering::Relaxed), 1);
}

#[test]
fn a_device_with_less_than_the_kernels_need_is_refused() {
    let (adapter, device, queue) = application(wgpu::Limits::downlevel_defaults());
    let error = Gpu::from_wgpu(&adapter, device, queue).err().unwrap();
    assert!(matches!(error, GpuError::NoAdapter(_)), "{error}");
    assert!(error.to_string().contains("has 4 storage buffers per shader, but the kernels need 8"), "{error}");
}

/// A bank too large for a buffer of the device lies in several, and gives the same map as in a single one.
#[test]
fn a_bank_lies_in_several_buffers() {
    const BUFFER: u64 = 256 << 10;
    let fixture = Fixture::named("odd");
    let first = &fixture.supports()[0];
    let moved = |x: u32| {
        let mut picture = first.image().clone();
        let width = picture.width();
        picture
            .enumerate_pixels_mut()
            .for_each(|(at, y, pixel)| *pixel = *first.image().get_pixel((at + x) % width, y));
        Example::new(picture, first.mask().into_owned()).unwrap()
    };
    let examples: Vec<Example> = (0..60).map(moved).collect();
    let limits =
        wgpu::Limits { max_buffer_size: BUFFER, max_storage_buffer_binding_size: BUFFER, ..Default::default() };
    let (adapter, device, queue) = application(limits);
    let small = Gpu::from_wgpu(&adapter, device, queue).unwrap();
    let mut large = gpu();
    large.forms = small.forms.clone();
    let planned = |gpu: &Gpu, sample: Option<KvSample>| {
        let builder = Segmenter::builder().gpu(gpu.clone()).model(fixture.model()).precision(Precision::F32);
        let builder = builder.self_check(SelfCheck::Off).shots(examples.len());
        sample.into_iter().fold(builder, |builder, sample| builder.kv_sample(sample)).plan().unwrap()
    };
    let dispatches = |gpu: &Gpu| planned(gpu, None).memory().of(Pass::Query).dispatches;
    assert!(dispatches(&small) > dispatches(&large), "its attention runs in parts");
    // The rows of 59 supports end within a piece, at different places in each layer.
    for sample in [None, Some(KvSample { supports: 59, seed: 3 })] {
        let map = |gpu: &Gpu| {
            let segmenter = planned(gpu, sample).allocate().unwrap();
            let bank = segmenter.encode(&examples).unwrap();
            let map = segmenter.segment(&bank, &fixture.query()).unwrap().map().values().to_vec();
            (segmenter, bank, map)
        };
        let (segmenter, bank, in_several) = map(&small);
        let (_, _, in_one) = map(&large);
        let error = relative_l2(&in_several, &in_one);
        assert!(error < 1e-5, "{sample:?}: {error}");
        if sample.is_none() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("large.bank");
            let exact = BankOptions { name: None, storage: BankStorage::F32, force: false };
            segmenter.save_bank(&bank, &path, &exact).unwrap();
            let files = [BankFile::open(&path).unwrap()];
            let loaded = segmenter.load_bank(&files, &[], &mut |_, _| ControlFlow::Continue(())).unwrap();
            let again = segmenter.segment(&loaded, &fixture.query()).unwrap();
            assert!(again.map().values() == in_several, "a bank loaded from a file gives the same map");
        }
    }
}

/// Two threads on one device, each with its own plans, get the same results as one alone.
#[test]
fn threads_share_a_device() {
    let gpu = gpu();
    let alone = map(gpu.clone()).unwrap();
    let both = std::thread::scope(|scope| {
        [gpu.clone(), gpu].map(|gpu| scope.spawn(move || map(gpu).unwrap())).map(|thread| thread.join().unwrap())
    });
    assert!(both.iter().all(|map| *map == alone));
}

/// Opening, running and reading back asynchronously gives the same as blocking calls.
#[test]
fn nothing_has_to_block() {
    let gpu = pollster::block_on(Gpu::request(&choice())).unwrap();
    let mut r = Recorder::new(Policy::F32, gpu.forms.clone(), gpu.limits());
    let x = r.input("x", 16, 16, Channels::one(64));
    let weight = r.input("weight", 1, 1, Channels::one(64));
    let out = layer_norm::record(&mut r, &x, &weight, &weight, 1e-5);
    r.output(&out);
    let schedule = Schedule::new(r.finish().unwrap());
    let arena = Arena::new(&gpu, &Arena::sizes([&schedule])).unwrap();
    let plan = gpu.bind("norm", &schedule, &arena, &HashMap::new(), HashMap::new()).unwrap();
    let [x, weight, out] = [x, weight, out].map(|tensor| gpu.port(&plan, &tensor).unwrap());
    let values: Vec<f32> = (0..16 * 16 * 64).map(|i| (i as f32).sin()).collect();
    gpu.write(&x, &values).unwrap();
    gpu.write(&weight, &values[..64]).unwrap();
    gpu.run(&plan, &mut |_| true).unwrap();
    let [expected] = gpu.read([&out]).unwrap();
    assert!(expected.iter().any(|&value| value != 0.0));

    gpu.write(&out, &vec![f32::NAN; values.len()]).unwrap();
    let mut shares = Vec::new();
    let awaited = async {
        gpu.run_async(&plan, |share| {
            shares.push(share);
            true
        })
        .await?;
        gpu.read_async([&out]).await
    };
    let [got] = pollster::block_on(sent(awaited)).unwrap();
    assert!(got.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()));
    assert_eq!(shares.last(), Some(&1.0));
    let stopped = pollster::block_on(gpu.run_async(&plan, |_| false));
    assert!(matches!(stopped, Err(GpuError::Interrupted)), "{stopped:?}");
}

/// Servers move futures from thread to thread.
fn sent<F: Future + Send>(future: F) -> F {
    future
}
