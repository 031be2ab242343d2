//! Puts WebAssembly of the Rust Worker into a form that workerd loads: `panic-events-bindgen IN.wasm OUT_DIR` writes
//! `index.js`, `index_bg.wasm` and `shim.js`. For tests; whoever deploys uses `worker-build`.

use std::path::Path;

use anyhow::{Context, Result};

/// The entry point: hands requests over, and begins anew after an abort.
const SHIM: &str = r#"import { WorkerEntrypoint } from "cloudflare:workers";
import * as instance from "./index.js";

const state = instance.__worker_init_state();

export default class extends WorkerEntrypoint {
  fetch(request) {
    if (state.criticalError) {
      console.log("Reinitializing Wasm application");
      instance.__wbg_reset_state();
      state.criticalError = false;
    }
    return instance.fetch.call(this, request, this.env, this.ctx);
  }
}
"#;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut argument = || arguments.next().context("usage: panic-events-bindgen IN.wasm OUT_DIR");
    let (input, out) = (argument()?, argument()?);
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    bindgen.input_path(input).out_name("index").module(true)?.typescript(false);
    bindgen.reset_state_function(true).force_enable_abort_handler(true);
    let mut output = bindgen.generate_output()?;
    output.emit(&out)?;

    let out = Path::new(&out);
    let index = out.join("index.js");
    let text = std::fs::read_to_string(&index)?;
    // workerd imports a module of WebAssembly without the word of the proposal.
    let mut text = text.replace("import source ", "import ");
    // One file less for whoever loads them: the only snippet is a few lines of the `worker` crate.
    for (folder, sources) in output.snippets() {
        for (number, source) in sources.iter().enumerate() {
            let path = format!("./snippets/{folder}/inline{number}.js");
            let import = text.lines().find(|line| line.starts_with("import ") && line.contains(&path));
            let import = import.context("a snippet that nobody imports")?.to_owned();
            text = text.replace(&import, &source.replace("export const", "const"));
        }
    }
    std::fs::write(index, text)?;
    std::fs::write(out.join("shim.js"), SHIM)?;
    Ok(())
}
