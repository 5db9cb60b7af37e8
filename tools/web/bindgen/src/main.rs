//! Generates the JavaScript for a module with wasm-bindgen: `diffews-bindgen MODULE.wasm FOLDER`.

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder] = &arguments[..] else {
        eprintln!("usage: diffews-bindgen MODULE.wasm FOLDER");
        std::process::exit(2);
    };
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    let made = bindgen.input_path(module).web(true).and_then(|bindgen| {
        bindgen.typescript(false).omit_default_module_path(true).remove_name_section(true).generate(folder)
    });
    if let Err(error) = made {
        eprintln!("{module}: {error:?}");
        std::process::exit(1);
    }
}
