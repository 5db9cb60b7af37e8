//! A Vulkan layer between the loader and the driver that makes one call fail, to test the behaviour of a broken GPU without one. Built as
//! an example, because cargo builds these for tests: `libfault_layer.so`.
//!
//! `FAULT_LAYER=KIND@CALL:N` makes the Nth call of a kind fail, from 0, counted per process:
//! - `lost@submit`, `lost@wait`: the device is lost with this call and stays lost; one opened later works
//! - `oom@submit`, `oom@allocate`: out of device memory, once
//! - `fail@map`: memory cannot be mapped, once
//! - `timeout@wait`: the wait times out at once, once
//! - `hang@submit`: this submission and all later ones of the device never end
//! - `crash@submit`: the process ends, as by a driver's fault
//! - `drop@submit`: the submission completes without being executed
//!
//! `N+` instead of N: each call from the Nth on, on every device. `FAULT_LAYER_LOG=FILE` receives a line per counted call, with `!` after
//! those that failed. The loader unloads a layer with its last instance, so counting continues from the end of that file.
#![cfg(target_os = "linux")]

use ash::vk;
use ash::vk::Handle;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The counted calls, in the order of [`Faults::counts`].
const CALLS: [&str; 4] = ["submit", "wait", "allocate", "map"];
const SUBMIT: usize = 0;
const WAIT: usize = 1;
const ALLOCATE: usize = 2;
const MAP: usize = 3;

/// The faults that the environment requests.
struct Faults {
    kind: String,
    call: usize,
    at: u64,
    always: bool,
    log: Option<String>,
    counts: [AtomicU64; CALLS.len()],
}

static FAULTS: LazyLock<Faults> = LazyLock::new(|| {
    let text = std::env::var("FAULT_LAYER").unwrap_or_default();
    let (what, at) = text.split_once(':').unwrap_or(("none@none", "0"));
    let (kind, call) = what.split_once('@').unwrap_or((what, ""));
    let log = std::env::var("FAULT_LAYER_LOG").ok();
    let before = log.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let counted = |name: &str| before.lines().filter(|line| line.trim_end_matches('!') == name).count() as u64;
    Faults {
        kind: kind.into(),
        call: CALLS.iter().position(|name| *name == call).unwrap_or(CALLS.len()),
        at: at.trim_end_matches('+').parse().unwrap_or(u64::MAX),
        always: at.ends_with('+'),
        log,
        counts: CALLS.map(|name| AtomicU64::new(counted(name))),
    }
});

impl Faults {
    /// Counts a call, and returns the kind of fault that it gets.
    fn next(&self, call: usize) -> Option<&str> {
        let n = self.counts[call].fetch_add(1, Ordering::SeqCst);
        let hit = call == self.call && (n == self.at || self.always && n > self.at);
        if let Some(path) = &self.log
            && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
        {
            // One write: `writeln!` to a file writes each piece separately, and threads' pieces mix.
            let line = format!("{}{}\n", CALLS[call], if hit { "!" } else { "" });
            let _ = file.write_all(line.as_bytes());
        }
        hit.then_some(self.kind.as_str())
    }
}

/// The functions of the next layer or the driver, and the state of the device.
#[derive(Clone, Copy)]
struct Device {
    handle: vk::Device,
    next: vk::PFN_vkGetDeviceProcAddr,
    submit: vk::PFN_vkQueueSubmit,
    queue_idle: vk::PFN_vkQueueWaitIdle,
    device_idle: vk::PFN_vkDeviceWaitIdle,
    wait: vk::PFN_vkWaitSemaphores,
    counter: vk::PFN_vkGetSemaphoreCounterValue,
    allocate: vk::PFN_vkAllocateMemory,
    map: vk::PFN_vkMapMemory,
    lost: bool,
    hangs: bool,
}

type Instance = (vk::Instance, vk::PFN_vkGetInstanceProcAddr);

static INSTANCES: LazyLock<Mutex<HashMap<u64, Instance>>> = LazyLock::new(Default::default);
static DEVICES: LazyLock<Mutex<HashMap<u64, Device>>> = LazyLock::new(Default::default);

fn lock<T>(map: &Mutex<T>) -> MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A key shared by a handle and all handles made from it: the loader's table, to which each points.
fn key(handle: impl Handle) -> u64 {
    // SAFETY: the loader's rule for instances, physical devices, devices and queues.
    unsafe { *(handle.as_raw() as *const u64) }
}

fn device(handle: impl Handle) -> Device {
    lock(&DEVICES)[&key(handle)]
}

/// Changes the device that `handle` belongs to.
fn mark(handle: impl Handle, change: impl FnOnce(&mut Device)) {
    if let Some(device) = lock(&DEVICES).get_mut(&key(handle)) {
        change(device);
    }
}

/// Loses the device after the driver has finished its work, because memory that is freed afterwards must not be in use.
fn lose(handle: impl Handle + Copy) -> vk::Result {
    let device = device(handle);
    // SAFETY: the device is alive, and a single thread calls the layer, so the driver needs no lock.
    let _ = unsafe { (device.device_idle)(device.handle) };
    mark(handle, |d| d.lost = true);
    vk::Result::ERROR_DEVICE_LOST
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

unsafe extern "system" fn submit(
    queue: vk::Queue,
    count: u32,
    infos: *const vk::SubmitInfo<'_>,
    fence: vk::Fence,
) -> vk::Result {
    let device = device(queue);
    let fault = FAULTS.next(SUBMIT);
    if device.lost {
        return vk::Result::ERROR_DEVICE_LOST;
    }
    match fault {
        Some("lost") => return lose(queue),
        Some("oom") => return vk::Result::ERROR_OUT_OF_DEVICE_MEMORY,
        Some("crash") => std::process::abort(),
        Some("hang") => mark(queue, |d| d.hangs = true),
        Some("drop") => {
            // SAFETY: the caller passes that many.
            let mut infos = unsafe { std::slice::from_raw_parts(infos, count as usize) }.to_vec();
            infos.iter_mut().for_each(|info| info.command_buffer_count = 0);
            // SAFETY: the caller's call, with fewer commands.
            return unsafe { (device.submit)(queue, count, infos.as_ptr(), fence) };
        }
        _ => {}
    }
    if device.hangs || fault == Some("hang") {
        return vk::Result::SUCCESS;
    }
    // SAFETY: the caller's call.
    unsafe { (device.submit)(queue, count, infos, fence) }
}

unsafe extern "system" fn queue_wait_idle(queue: vk::Queue) -> vk::Result {
    let device = device(queue);
    let fault = FAULTS.next(WAIT);
    if device.hangs {
        sleep_for_ever();
    }
    if device.lost {
        return vk::Result::ERROR_DEVICE_LOST;
    }
    match fault {
        Some("lost") => lose(queue),
        // SAFETY: the caller's call.
        _ => unsafe { (device.queue_idle)(queue) },
    }
}

unsafe extern "system" fn wait_semaphores(
    handle: vk::Device,
    info: *const vk::SemaphoreWaitInfo<'_>,
    timeout: u64,
) -> vk::Result {
    let device = device(handle);
    let fault = FAULTS.next(WAIT);
    if device.lost {
        return vk::Result::ERROR_DEVICE_LOST;
    }
    match fault {
        Some("lost") => lose(handle),
        Some("timeout") => vk::Result::TIMEOUT,
        // SAFETY: the caller's call.
        _ => unsafe { (device.wait)(handle, info, timeout) },
    }
}

unsafe extern "system" fn counter_value(handle: vk::Device, semaphore: vk::Semaphore, value: *mut u64) -> vk::Result {
    let device = device(handle);
    if device.lost {
        return vk::Result::ERROR_DEVICE_LOST;
    }
    // SAFETY: the caller's call.
    unsafe { (device.counter)(handle, semaphore, value) }
}

unsafe extern "system" fn allocate_memory(
    handle: vk::Device,
    info: *const vk::MemoryAllocateInfo<'_>,
    callbacks: *const vk::AllocationCallbacks<'_>,
    memory: *mut vk::DeviceMemory,
) -> vk::Result {
    if FAULTS.next(ALLOCATE).is_some() {
        return vk::Result::ERROR_OUT_OF_DEVICE_MEMORY;
    }
    // SAFETY: the caller's call.
    unsafe { (device(handle).allocate)(handle, info, callbacks, memory) }
}

unsafe extern "system" fn map_memory(
    handle: vk::Device,
    memory: vk::DeviceMemory,
    offset: vk::DeviceSize,
    size: vk::DeviceSize,
    flags: vk::MemoryMapFlags,
    data: *mut *mut c_void,
) -> vk::Result {
    if FAULTS.next(MAP).is_some() {
        return vk::Result::ERROR_MEMORY_MAP_FAILED;
    }
    // SAFETY: the caller's call.
    unsafe { (device(handle).map)(handle, memory, offset, size, flags, data) }
}

// The loader's structures for layers: vk_layer.h.

/// Common start of an instance's and a device's link: the chain's header, the link's kind, and the next link.
#[repr(C)]
struct LinkInfo {
    kind: vk::StructureType,
    next: *mut LinkInfo,
    function: i32,
    link: *mut Link,
}

#[repr(C)]
struct Link {
    next: *mut Link,
    instance: vk::PFN_vkGetInstanceProcAddr,
    /// For physical devices in an instance's link, which this layer does not use.
    device: vk::PFN_vkGetDeviceProcAddr,
}

#[repr(C)]
pub struct Negotiation {
    kind: i32,
    next: *mut c_void,
    version: u32,
    instance: Option<vk::PFN_vkGetInstanceProcAddr>,
    device: Option<vk::PFN_vkGetDeviceProcAddr>,
    physical_device: Option<vk::PFN_vkGetInstanceProcAddr>,
}

/// Takes this layer's link off the loader's chain.
unsafe fn link(chain: *const c_void, kind: vk::StructureType) -> Option<*mut Link> {
    let mut info = chain.cast_mut().cast::<LinkInfo>();
    // SAFETY: a chain of Vulkan's structures, each of which begins with these two fields; structures of this kind belong to the loader.
    unsafe {
        while !info.is_null() {
            if (*info).kind == kind && (*info).function == 0 {
                let link = (*info).link;
                (*info).link = (*link).next;
                return Some(link);
            }
            info = (*info).next;
        }
    }
    None
}

unsafe extern "system" fn create_instance(
    info: *const vk::InstanceCreateInfo<'_>,
    callbacks: *const vk::AllocationCallbacks<'_>,
    instance: *mut vk::Instance,
) -> vk::Result {
    // SAFETY: the loader's protocol.
    unsafe {
        let Some(link) = link((*info).p_next, vk::StructureType::LOADER_INSTANCE_CREATE_INFO) else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let next = (*link).instance;
        let Some(create) = next(vk::Instance::null(), c"vkCreateInstance".as_ptr()) else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let create = std::mem::transmute::<Function, vk::PFN_vkCreateInstance>(create);
        let result = create(info, callbacks, instance);
        if result == vk::Result::SUCCESS {
            lock(&INSTANCES).insert(key(*instance), (*instance, next));
        }
        result
    }
}

unsafe extern "system" fn create_device(
    physical: vk::PhysicalDevice,
    info: *const vk::DeviceCreateInfo<'_>,
    callbacks: *const vk::AllocationCallbacks<'_>,
    out: *mut vk::Device,
) -> vk::Result {
    let (instance, _) = lock(&INSTANCES)[&key(physical)];
    // SAFETY: the loader's protocol; each function has the type that belongs to its name.
    unsafe {
        let Some(link) = link((*info).p_next, vk::StructureType::LOADER_DEVICE_CREATE_INFO) else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let next = (*link).device;
        let Some(create) = ((*link).instance)(instance, c"vkCreateDevice".as_ptr()) else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let create = std::mem::transmute::<Function, vk::PFN_vkCreateDevice>(create);
        let result = create(physical, info, callbacks, out);
        if result != vk::Result::SUCCESS {
            return result;
        }
        let of = |name: &CStr| next(*out, name.as_ptr());
        let first = |names: [&CStr; 2]| of(names[0]).or_else(|| of(names[1]));
        let (Some(submit), Some(queue_idle), Some(device_idle), Some(wait), Some(counter), Some(allocate), Some(map)) = (
            of(c"vkQueueSubmit"),
            of(c"vkQueueWaitIdle"),
            of(c"vkDeviceWaitIdle"),
            first([c"vkWaitSemaphores", c"vkWaitSemaphoresKHR"]),
            first([c"vkGetSemaphoreCounterValue", c"vkGetSemaphoreCounterValueKHR"]),
            of(c"vkAllocateMemory"),
            of(c"vkMapMemory"),
        ) else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let device = Device {
            handle: *out,
            next,
            submit: std::mem::transmute::<Function, vk::PFN_vkQueueSubmit>(submit),
            queue_idle: std::mem::transmute::<Function, vk::PFN_vkQueueWaitIdle>(queue_idle),
            device_idle: std::mem::transmute::<Function, vk::PFN_vkDeviceWaitIdle>(device_idle),
            wait: std::mem::transmute::<Function, vk::PFN_vkWaitSemaphores>(wait),
            counter: std::mem::transmute::<Function, vk::PFN_vkGetSemaphoreCounterValue>(counter),
            allocate: std::mem::transmute::<Function, vk::PFN_vkAllocateMemory>(allocate),
            map: std::mem::transmute::<Function, vk::PFN_vkMapMemory>(map),
            lost: false,
            hangs: false,
        };
        lock(&DEVICES).insert(key(*out), device);
        result
    }
}

type Function = unsafe extern "system" fn();

fn own(name: &CStr) -> Option<Function> {
    let address = match name.to_bytes() {
        b"vkGetInstanceProcAddr" => get_instance_proc_addr as *const (),
        b"vkGetDeviceProcAddr" => get_device_proc_addr as *const (),
        b"vkCreateInstance" => create_instance as *const (),
        b"vkCreateDevice" => create_device as *const (),
        b"vkQueueSubmit" => submit as *const (),
        b"vkQueueWaitIdle" => queue_wait_idle as *const (),
        b"vkWaitSemaphores" | b"vkWaitSemaphoresKHR" => wait_semaphores as *const (),
        b"vkGetSemaphoreCounterValue" | b"vkGetSemaphoreCounterValueKHR" => counter_value as *const (),
        b"vkAllocateMemory" => allocate_memory as *const (),
        b"vkMapMemory" => map_memory as *const (),
        _ => return None,
    };
    // SAFETY: the caller uses the type that belongs to the name.
    Some(unsafe { std::mem::transmute::<*const (), Function>(address) })
}

unsafe extern "system" fn get_instance_proc_addr(
    instance: vk::Instance,
    name: *const c_char,
) -> vk::PFN_vkVoidFunction {
    // SAFETY: a C string, by Vulkan's rules.
    if let Some(function) = own(unsafe { CStr::from_ptr(name) }) {
        return Some(function);
    }
    if instance.is_null() {
        return None;
    }
    let (_, next) = *lock(&INSTANCES).get(&key(instance))?;
    // SAFETY: the caller's call.
    unsafe { next(instance, name) }
}

unsafe extern "system" fn get_device_proc_addr(handle: vk::Device, name: *const c_char) -> vk::PFN_vkVoidFunction {
    // SAFETY: a C string, by Vulkan's rules.
    if let Some(function) = own(unsafe { CStr::from_ptr(name) }) {
        return Some(function);
    }
    let next = lock(&DEVICES).get(&key(handle))?.next;
    // SAFETY: the caller's call.
    unsafe { next(handle, name) }
}

/// The loader's entry point.
///
/// # Safety
/// Only the loader may call it, following its protocol.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn vkNegotiateLoaderLayerInterfaceVersion(negotiation: *mut Negotiation) -> vk::Result {
    // SAFETY: the loader's structure.
    let negotiation = unsafe { &mut *negotiation };
    negotiation.version = 2;
    negotiation.instance = Some(get_instance_proc_addr);
    negotiation.device = Some(get_device_proc_addr);
    negotiation.physical_device = None;
    vk::Result::SUCCESS
}
