// Describes the browser's GPU, which the module cannot see.

interface Gpu {
  requestAdapter(): Promise<{ info: { vendor: string; architecture: string; device: string; description: string } } | null>;
}

/** Null without a GPU. */
export async function gpuName(): Promise<string | null> {
  const gpu = (navigator as { gpu?: Gpu }).gpu;
  const adapter = await gpu?.requestAdapter().catch(() => null);
  if (!adapter) return null;
  const { vendor, architecture, device, description } = adapter.info;
  return description || [vendor, architecture, device].filter(Boolean).join(" ") || "WebGPU";
}
