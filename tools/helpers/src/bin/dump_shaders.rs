//! Writes every shader that the engine can pass to a driver, for compilers outside Rust (except those with cooperative matrices; in
//! WGSL also without those with numbers of 64 bits, which the standard lacks), and naga's HLSL of each, unless it is for a single driver: `cargo run --release -p diffews-helpers --bin
//! dump_shaders -- DIR` writes `DIR/<kernel>-<form>-<symbols>-<storage>.{wgsl,hlsl}`.

#[path = "../../../../tests/common/shaders.rs"]
mod shaders;

use diffews_wgpu::shader::Ranges;
use naga::back::hlsl::ShaderModel;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).ok_or("usage: dump_shaders DIR")?);
    std::fs::create_dir_all(&dir)?;
    let all: Vec<_> = shaders::of_hlsl().collect();
    for shader in &all {
        let (module, info) = shaders::parse(shader);
        if !shader.form.needs.int64 {
            std::fs::write(dir.join(format!("{}.wgsl", shader.name)), &shader.wgsl)?;
        }
        if shader.form.needs.ranges == Ranges::Unchecked {
            continue;
        }
        for (kind, checked) in [("", false), (".checked", true)] {
            let text = shaders::hlsl(&module, &info, ShaderModel::V6_2, checked)?;
            std::fs::write(dir.join(format!("{}{kind}.hlsl", shader.name)), text)?;
        }
    }
    println!("{} shaders in {}", all.len(), dir.display());
    Ok(())
}
