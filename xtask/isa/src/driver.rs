//! RADV's null device: AMD's Vulkan driver without a card, which compiles pipelines and reports what it made of them.
//! Kernels reach it through `signet::device` and wgpu, so that they are translated exactly as in a program. wgpu calls
//! Vulkan through the functions of this file, which ask for statistics, and do the little that the null device cannot.

use ash::vk::Handle;
use ash::{khr, vk};
use signet::device::{Checks, Cooperative, Gpu, Kernel, adapters_of};
use signet::platform::wait;
use std::ffi::{CStr, c_char, c_void};
use std::mem::transmute;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// The highest version of Vulkan that wgpu uses.
const VERSION: u32 = vk::API_VERSION_1_3;

/// A pipeline as the driver reports it.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    /// Invocations of a subgroup.
    pub(crate) subgroup: u32,
    /// The driver's statistics: name and value.
    pub(crate) statistics: Vec<(String, u64)>,
    /// The disassembled instructions.
    pub(crate) assembly: String,
}

/// The opened null device.
pub(crate) struct NullDevice {
    gpu: Gpu,
}

impl NullDevice {
    /// Opens the first adapter of the driver that the environment selects (`VK_DRIVER_FILES`, `RADV_FORCE_FAMILY`).
    pub(crate) fn open() -> Result<Self, String> {
        let instance = instance()?;
        let adapters = wait(adapters_of(&instance));
        let adapter = adapters.first().ok_or("the driver lists no device: this Mesa has no null device, or does not know the GPU family")?;
        // The functions below would break a real GPU.
        if !adapter.info.name.starts_with("Null hardware") {
            return Err(format!("{} is not RADV's null device: this driver ignores RADV_FORCE_FAMILY", adapter.info.name));
        }
        let gpu = wait(Gpu::open(adapter, Checks::Off)).map_err(|error| error.to_string())?;
        Ok(Self { gpu })
    }

    /// Name of the device, and name and version of the driver.
    pub(crate) fn description(&self) -> String {
        let info = self.gpu.info();
        format!("{}, {} {}", info.name, info.driver, info.driver_info)
    }

    /// The cooperative matrices that the driver lists and kernels can use.
    pub(crate) fn cooperative(&self) -> Vec<Cooperative> {
        self.gpu.cooperative().to_vec()
    }

    /// The requirements of a kernel that the device does not meet; `None` if it is offered.
    pub(crate) fn missing(&self, kernel: &Kernel) -> Option<String> {
        self.gpu.missing_requirements(kernel)
    }

    /// Compiles a kernel as its first dispatch does.
    pub(crate) fn compile(&self, kernel: &'static Kernel) -> Result<Pipeline, String> {
        locked(&CAPTURED).take();
        self.gpu.compile(kernel).map_err(|error| error.to_string())?;
        locked(&CAPTURED).take().unwrap_or_else(|| Err("wgpu created no pipeline".into()))
    }
}

/// Creates an instance as wgpu does, whose devices call the functions below.
fn instance() -> Result<wgpu::Instance, String> {
    use wgpu::hal::vulkan::Instance;
    let fault = |what: &str, error: &dyn std::fmt::Display| format!("cannot {what}: {error}");
    // SAFETY: the system's Vulkan loader has no preconditions.
    let entry = unsafe { ash::Entry::load() }.map_err(|error| fault("load the Vulkan loader (Debian: libvulkan1)", &error))?;
    let flags = wgpu::InstanceFlags::empty();
    let extensions = Instance::desired_extensions(&entry, VERSION, flags).map_err(|error| fault("list Vulkan's extensions", &error))?;
    let names: Vec<*const c_char> = extensions.iter().map(|name| name.as_ptr()).collect();
    // Mesa has settings for some programs by these names.
    let application = vk::ApplicationInfo::default().application_name(c"wgpu").engine_name(c"wgpu-hal").engine_version(2).api_version(VERSION);
    let info = vk::InstanceCreateInfo::default().application_info(&application).enabled_extension_names(&names);
    // SAFETY: all pointers of `info` outlive the call.
    let plain = unsafe { entry.create_instance(&info, None) }.map_err(|error| fault("create a Vulkan instance", &error))?;
    let (handle, get) = (plain.handle(), entry.static_fn().get_instance_proc_addr);
    INSTANCE.set(plain).map_err(|_| "cannot open a second Vulkan instance in one process".to_owned())?;
    let function = |name: &CStr| match name.to_bytes() {
        b"vkGetDeviceProcAddr" => device_function as *const c_void,
        b"vkCreateDevice" => create_device as *const c_void,
        b"vkGetPhysicalDeviceMemoryProperties" => memory_properties as *const c_void,
        // SAFETY: `handle` is a live instance, and `name` ends with a zero byte.
        _ => unsafe { transmute::<vk::PFN_vkVoidFunction, *const c_void>(get(handle, name.as_ptr())) },
    };
    // SAFETY: the functions belong to `handle`, or have the types that their names demand. The instance lives until the
    // process ends, since INSTANCE is never dropped; wgpu may destroy it then.
    unsafe {
        let hooked = ash::Instance::load_with(function, handle);
        let raw = Instance::from_raw(entry, hooked, VERSION, 0, None, extensions, flags, Default::default(), false, Some(Box::new(|| ())));
        let raw = raw.map_err(|error| fault("create wgpu's instance", &error))?;
        Ok(wgpu::Instance::from_hal::<wgpu::hal::api::Vulkan>(raw))
    }
}

/// The instance with the driver's own functions.
static INSTANCE: OnceLock<ash::Instance> = OnceLock::new();
/// The last pipeline that was created.
static CAPTURED: Mutex<Option<Result<Pipeline, String>>> = Mutex::new(None);
/// The last handle of a semaphore or fence.
static HANDLE: AtomicU64 = AtomicU64::new(0);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn driver() -> &'static ash::Instance {
    INSTANCE.get().expect("set before a device exists")
}

/// `vkCreateDevice`, with the extension that reports statistics.
unsafe extern "system" fn create_device(
    physical: vk::PhysicalDevice, info: *const vk::DeviceCreateInfo<'_>, allocator: *const vk::AllocationCallbacks<'_>, device: *mut vk::Device,
) -> vk::Result {
    // SAFETY: the caller's `info` is valid, and what is added to the copy outlives the call.
    unsafe {
        let mut info = *info;
        let mut names = list(info.pp_enabled_extension_names, info.enabled_extension_count).to_vec();
        names.push(khr::pipeline_executable_properties::NAME.as_ptr());
        let mut feature = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
        feature.p_next = info.p_next.cast_mut();
        info.p_next = (&raw const feature).cast();
        info.pp_enabled_extension_names = names.as_ptr();
        info.enabled_extension_count = names.len() as u32;
        (driver().fp_v1_0().create_device)(physical, &info, allocator, device)
    }
}

/// Returns an array of the caller as a slice.
///
/// # Safety
///
/// `first` points at `count` valid elements, or `count` is 0.
unsafe fn list<'a, T>(first: *const T, count: u32) -> &'a [T] {
    // SAFETY: as the caller promises.
    if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(first, count as usize) } }
}

/// Functions that have nothing to do here.
const UNUSED: [&[u8]; 15] = [
    b"vkBeginCommandBuffer",
    b"vkBindBufferMemory",
    b"vkDestroyFence",
    b"vkDestroySemaphore",
    b"vkDeviceWaitIdle",
    b"vkEndCommandBuffer",
    b"vkFreeCommandBuffers",
    b"vkFreeMemory",
    b"vkQueueSubmit",
    b"vkQueueWaitIdle",
    b"vkResetCommandPool",
    b"vkUpdateDescriptorSets",
    b"vkWaitForFences",
    b"vkWaitSemaphores",
    b"vkWaitSemaphoresKHR",
];

/// `vkGetDeviceProcAddr`: the functions below, and otherwise the driver's.
unsafe extern "system" fn device_function(device: vk::Device, name: *const c_char) -> vk::PFN_vkVoidFunction {
    // SAFETY: the caller's name ends with a zero byte.
    let own = match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"vkCreateComputePipelines" => create_compute_pipelines as *const c_void,
        b"vkGetBufferMemoryRequirements" => buffer_requirements as *const c_void,
        b"vkAllocateMemory" => allocate_memory as *const c_void,
        b"vkMapMemory" => map_memory as *const c_void,
        b"vkCreateSemaphore" | b"vkCreateFence" => create_signal as *const c_void,
        b"vkGetSemaphoreCounterValue" | b"vkGetSemaphoreCounterValueKHR" => signal_value as *const c_void,
        b"vkAllocateCommandBuffers" => allocate_commands as *const c_void,
        name if name.starts_with(b"vkCmd") || UNUSED.contains(&name) => do_nothing as *const c_void,
        // SAFETY: the device is one of this instance.
        _ => return unsafe { (driver().fp_v1_0().get_device_proc_addr)(device, name) },
    };
    // SAFETY: a function pointer, which the caller casts to the type of its name.
    unsafe { transmute::<*const c_void, vk::PFN_vkVoidFunction>(own) }
}

/// `vkCreateComputePipelines`, which captures what the compiler made of the first pipeline.
unsafe extern "system" fn create_compute_pipelines(
    device: vk::Device, cache: vk::PipelineCache, count: u32, infos: *const vk::ComputePipelineCreateInfo<'_>, allocator: *const vk::AllocationCallbacks<'_>,
    pipelines: *mut vk::Pipeline,
) -> vk::Result {
    let capture = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
    // SAFETY: the caller's arguments are valid; a created pipeline may be queried.
    unsafe {
        let infos: Vec<_> = list(infos, count).iter().map(|info| vk::ComputePipelineCreateInfo { flags: info.flags | capture, ..*info }).collect();
        let device = ash::Device::load(driver().fp_v1_0(), device);
        let result = (device.fp_v1_0().create_compute_pipelines)(device.handle(), cache, count, infos.as_ptr(), allocator, pipelines);
        if result == vk::Result::SUCCESS {
            *locked(&CAPTURED) = Some(report(&device, *pipelines).map_err(|error| format!("cannot read the statistics of a pipeline: {error}")));
        }
        result
    }
}

/// Reads the report on a pipeline with one stage.
///
/// # Safety
///
/// The pipeline belongs to the device, and was created with both capture flags.
unsafe fn report(device: &ash::Device, pipeline: vk::Pipeline) -> Result<Pipeline, vk::Result> {
    // SAFETY: as the caller promises; every text is read into memory of the size that the driver states.
    unsafe {
        let reports = khr::pipeline_executable_properties::Device::new(driver(), device);
        let stages = reports.get_pipeline_executable_properties(&vk::PipelineInfoKHR::default().pipeline(pipeline))?;
        let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
        let statistics = reports.get_pipeline_executable_statistics(&executable)?;
        let mut texts = reports.get_pipeline_executable_internal_representations(&executable)?;
        let mut memory: Vec<Vec<u8>> = texts.iter().map(|text| vec![0; text.data_size]).collect();
        for (text, memory) in texts.iter_mut().zip(&mut memory) {
            text.p_data = memory.as_mut_ptr().cast();
        }
        let mut count = texts.len() as u32;
        (reports.fp().get_pipeline_executable_internal_representations_khr)(device.handle(), &executable, &mut count, texts.as_mut_ptr()).result()?;
        let is_assembly = |text: &vk::PipelineExecutableInternalRepresentationKHR<'_>| name(&text.name) == "Assembly";
        let assembly = texts.iter().position(is_assembly).map_or(&[][..], |place| &memory[place]);
        Ok(Pipeline {
            subgroup: stages.first().map_or(0, |stage| stage.subgroup_size),
            statistics: statistics.iter().map(|statistic| (name(&statistic.name), value(statistic))).collect(),
            assembly: String::from_utf8_lossy(assembly).trim_end_matches('\0').to_owned(),
        })
    }
}

/// A text of fixed length as a string.
fn name(text: &[c_char]) -> String {
    let bytes: Vec<u8> = text.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn value(statistic: &vk::PipelineExecutableStatisticKHR<'_>) -> u64 {
    // SAFETY: the format says which field is set.
    unsafe {
        match statistic.format {
            vk::PipelineExecutableStatisticFormatKHR::BOOL32 => statistic.value.b32.into(),
            vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => statistic.value.f64.round() as u64,
            _ => statistic.value.u64,
        }
    }
}

// The null device has no memory, semaphores, fences or queue. wgpu needs them to open a device, and nothing that it submits
// here has to run: these functions do as if there were some.

/// Bytes of the only heap.
const HEAP: u64 = 1 << 34;

unsafe extern "system" fn memory_properties(_: vk::PhysicalDevice, properties: *mut vk::PhysicalDeviceMemoryProperties) {
    use vk::MemoryPropertyFlags as Kind;
    let mut one = vk::PhysicalDeviceMemoryProperties { memory_type_count: 1, memory_heap_count: 1, ..Default::default() };
    one.memory_types[0].property_flags = Kind::DEVICE_LOCAL | Kind::HOST_VISIBLE | Kind::HOST_COHERENT;
    one.memory_heaps[0] = vk::MemoryHeap { size: HEAP, flags: vk::MemoryHeapFlags::DEVICE_LOCAL };
    // SAFETY: the caller provides room for the properties.
    unsafe { *properties = one };
}

unsafe extern "system" fn buffer_requirements(device: vk::Device, buffer: vk::Buffer, requirements: *mut vk::MemoryRequirements) {
    // SAFETY: the caller's arguments are valid.
    unsafe {
        let device = ash::Device::load(driver().fp_v1_0(), device);
        (device.fp_v1_0().get_buffer_memory_requirements)(device.handle(), buffer, requirements);
        (*requirements).memory_type_bits = 1;
    }
}

unsafe extern "system" fn allocate_memory(
    _: vk::Device, info: *const vk::MemoryAllocateInfo<'_>, _: *const vk::AllocationCallbacks<'_>, memory: *mut vk::DeviceMemory,
) -> vk::Result {
    // SAFETY: the caller's arguments are valid.
    let (memory, bytes) = unsafe { (&mut *memory, (*info).allocation_size) };
    let Ok(bytes) = usize::try_from(bytes) else { return vk::Result::ERROR_OUT_OF_DEVICE_MEMORY };
    // The system provides pages when they are written, which is rare here: memory is never returned.
    *memory = vk::DeviceMemory::from_raw(vec![0_u8; bytes.max(1)].leak().as_mut_ptr() as u64);
    vk::Result::SUCCESS
}

unsafe extern "system" fn map_memory(
    _: vk::Device, memory: vk::DeviceMemory, offset: vk::DeviceSize, _: vk::DeviceSize, _: vk::MemoryMapFlags, data: *mut *mut c_void,
) -> vk::Result {
    // SAFETY: the handle is the address of memory of the allocation's size, and the caller provides room for a pointer.
    unsafe { *data = (memory.as_raw() as *mut u8).add(offset as usize).cast() };
    vk::Result::SUCCESS
}

unsafe extern "system" fn create_signal(_: vk::Device, _: *const c_void, _: *const vk::AllocationCallbacks<'_>, handle: *mut u64) -> vk::Result {
    // SAFETY: the caller provides room for a handle.
    unsafe { *handle = HANDLE.fetch_add(1, Ordering::Relaxed) + 1 };
    vk::Result::SUCCESS
}

unsafe extern "system" fn signal_value(_: vk::Device, _: vk::Semaphore, value: *mut u64) -> vk::Result {
    // SAFETY: the caller provides room for the value.
    unsafe { *value = u64::MAX };
    vk::Result::SUCCESS
}

unsafe extern "system" fn allocate_commands(_: vk::Device, info: *const vk::CommandBufferAllocateInfo<'_>, commands: *mut vk::CommandBuffer) -> vk::Result {
    // SAFETY: the caller provides room for as many handles as it asks for.
    unsafe { (0..(*info).command_buffer_count as usize).for_each(|n| *commands.add(n) = vk::CommandBuffer::from_raw(1 + n as u64)) };
    vk::Result::SUCCESS
}

/// Stands for functions with any parameters, which C's calling convention lets it ignore, and with or without a result.
unsafe extern "system" fn do_nothing() -> vk::Result {
    vk::Result::SUCCESS
}
