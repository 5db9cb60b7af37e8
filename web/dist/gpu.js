export async function gpuName() {
    const gpu = navigator.gpu;
    const adapter = await gpu?.requestAdapter().catch(() => null);
    if (!adapter)
        return null;
    const { vendor, architecture, device, description } = adapter.info;
    return description || [vendor, architecture, device].filter(Boolean).join(" ") || "WebGPU";
}
