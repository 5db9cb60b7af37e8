//! `serve`: the engine behind HTTP.

use super::engine::Watch as _;
use super::errors::usage;
use super::open::{self, Told, Wanted};
use super::options::{EngineArgs, FrameArgs, MaskArgs, bytes};
use super::progress::{self, Bar};
use super::{interrupt, print, tell};
use diffews_wgpu::serve::{self, Host, LabelStudio, Model, Options, ServeError};
use diffews_wgpu::{BankFile, gpu};
use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// Largest file of a key, in bytes.
const MOST_KEY: u64 = 4096;

const AFTER_HELP: &str = "\
Examples:
  diffews-wgpu serve                                     the page is at http://127.0.0.1:7777
  diffews-wgpu serve --banks banks/                      each *.bank is a model of annotation tools (X-AnyLabeling)
  diffews-wgpu serve --label-studio http://localhost:8080  a machine learning backend: annotate three, get the rest
  diffews-wgpu serve --listen 0.0.0.0:7777 --api-key-file key.txt --banks banks/

docs/serve.md has the API. After a first Ctrl-C or SIGTERM the server takes no more requests and finishes the others within 25 s; a
second one ends it at once. There is no encryption: outside a trusted network, put a TLS proxy in front of it.";

#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Address and port; any other than loopback needs --api-key-file. Port 0 picks a free one and prints it
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7777", help_heading = "Server")]
    listen: SocketAddr,
    /// Directory of banks: each *.bank is a model with the file's name
    #[arg(long, value_name = "DIR", help_heading = "Server")]
    banks: Option<PathBuf>,
    /// Largest request; larger ones are refused before they are read
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "32MiB", help_heading = "Server")]
    max_upload: u64,
    /// Requests that may wait for the device; others are told to retry later
    #[arg(long, value_name = "N", default_value_t = 16, help_heading = "Server")]
    queue: u16,
    /// Most banks that requests may create; the least recently used ones make room
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Server")]
    max_banks: u16,
    /// Most bytes of these on the adapter
    #[arg(long, value_name = "SIZE", value_parser = bytes, default_value = "1GiB", help_heading = "Server")]
    max_bank_bytes: u64,
    /// File with the key that each request must send, as Authorization: Bearer, X-API-Key, Token or the password of Basic
    #[arg(long, value_name = "FILE", help_heading = "Server")]
    api_key_file: Option<PathBuf>,
    /// Allow pages of this origin (CORS), as https://example.org; * is any
    #[arg(long, value_name = "ORIGIN", value_parser = origin, help_heading = "Server")]
    allow_origin: Vec<String>,
    /// Address of the Label Studio that uses this as its machine learning backend; its pictures and annotations are fetched
    #[arg(long, value_name = "URL", value_parser = url, help_heading = "Label Studio")]
    label_studio: Option<String>,
    /// File with a token of its API, legacy or personal [default: the token of the connection]
    #[arg(long, value_name = "FILE", requires = "label_studio", help_heading = "Label Studio")]
    label_studio_key_file: Option<PathBuf>,
    /// Another server that tasks may name pictures of, as https://example.org
    #[arg(long, value_name = "ORIGIN", value_parser = server, requires = "label_studio", help_heading = "Label Studio")]
    pictures_from: Vec<String>,
    /// Print warnings and errors only, no notes and no line for each request
    #[arg(long, short, help_heading = "Server")]
    quiet: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    masks: MaskArgs,
    #[command(flatten)]
    frame: FrameArgs,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let key = args.api_key_file.as_deref().map(|path| read_key("--api-key-file", path)).transpose()?;
    let label_studio_key = args.label_studio_key_file.as_deref();
    let label_studio_key = label_studio_key.map(|path| read_key("--label-studio-key-file", path)).transpose()?;
    if key.is_none() && !args.listen.ip().is_loopback() {
        return Err(usage(format!(
            "--listen {}: other machines can reach this address, so a key is needed; put one in a file and name it with --api-key-file",
            args.listen
        )));
    }
    gpu::check_backend(&args.engine.adapter.choice()?)?;
    let models = args.banks.as_deref().map(models).transpose()?.unwrap_or_default();
    let max_upload = usize::try_from(args.max_upload).unwrap_or(usize::MAX);
    // Bind before loading anything, so that a taken port fails at once; early requests wait.
    let listener = TcpListener::bind(args.listen)
        .map_err(|error| usage(format!("--listen {}: cannot listen there: {error}", args.listen)))?;
    let address = listener.local_addr()?;

    progress::catch_interrupts();
    let mut bar = Bar::new(args.quiet);
    let shots = models.iter().map(|model| model.file.shots()).max().unwrap_or(1);
    let wanted = args.engine.wanted(args.engine.model.files()?, shots, false)?.with_masks(&args.masks);
    let banks = models.iter().map(|model| &model.file).collect();
    let wanted = Wanted { banks, framing: args.frame.framing(), ..wanted };
    let planned = open::plan(wanted, Told { verbose: false, quiet: args.quiet }, &mut bar)?;
    let segmenter = planned.allocate_with(&mut |stage, done| bar.step(stage, done))?;
    bar.clear();
    // Until here a signal ends the process; from here on running requests are finished.
    interrupt::finish_what_runs();
    if !args.quiet {
        tell(&format!("ready at http://{address} with {} banks as models; Ctrl-C stops it", models.len()));
    }
    print(&format!("http://{address}"))?;
    let options = Options {
        max_upload,
        queue: args.queue.into(),
        key,
        origins: args.allow_origin.clone(),
        most_banks: args.max_banks.into(),
        most_bank_bytes: args.max_bank_bytes,
        label_studio: args.label_studio.clone().map(|url| LabelStudio {
            url,
            key: label_studio_key,
            pictures_from: args.pictures_from.clone(),
        }),
    };
    let quiet = args.quiet;
    let log = move |line: &str| {
        if !quiet {
            tell(line)
        }
    };
    let host = Host { log: Box::new(log), stop: Box::new(interrupt::asked) };
    serve::run(listener, segmenter, models, options, host).map_err(|error| match error {
        // Reported like other errors of the engine.
        ServeError::Engine(error) | ServeError::Model { error, .. } => (*error).into(),
        other => other.into(),
    })
}

/// The banks of a folder, by name.
fn models(dir: &Path) -> anyhow::Result<Vec<Model>> {
    let failed = |error: std::io::Error| usage(format!("--banks {}: {error}", dir.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("bank")) {
            paths.push(path);
        }
    }
    paths.sort();
    let mut models: Vec<Model> = Vec::new();
    for path in paths {
        let Some(id) = path.file_stem().and_then(|stem| stem.to_str()) else {
            return Err(usage(format!(
                "{}: its name is not UTF-8, so no request can name it; rename it",
                path.display()
            )));
        };
        if models.iter().any(|model| model.id == id) {
            return Err(usage(format!("{}: there is another bank with this name; rename one", path.display())));
        }
        models.push(Model { id: id.to_owned(), file: BankFile::open(&path)? });
    }
    match models.is_empty() {
        true => Err(usage(format!("--banks {}: there is no *.bank in it; `bank encode` writes them", dir.display()))),
        false => Ok(models),
    }
}

/// Reads the key of a file.
fn read_key(flag: &str, path: &Path) -> anyhow::Result<String> {
    let failed = |reason: String| usage(format!("{flag} {}: {reason}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    file.take(MOST_KEY + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
    let key = text.trim();
    if text.len() as u64 > MOST_KEY || key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(failed(format!("it must hold a key of at most {MOST_KEY} visible ASCII characters")));
    }
    Ok(key.to_owned())
}

fn origin(text: &str) -> Result<String, String> {
    let is_origin = text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty() && !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
    });
    match text == "*" || is_origin {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("it must be scheme, name and port without a path, as https://example.org, or *".into()),
    }
}

/// Parses an http origin.
fn server(text: &str) -> Result<String, String> {
    match text.starts_with("http://") || text.starts_with("https://") {
        true => origin(text),
        false => Err("it must begin with http:// or https://".into()),
    }
}

/// Parses an http address and drops its final slash.
fn url(text: &str) -> Result<String, String> {
    let plain = text.bytes().all(|b| b.is_ascii_graphic()) && !text.contains(['?', '#', '@']);
    let host = text.strip_prefix("http://").or(text.strip_prefix("https://"));
    match host.is_some_and(|host| !host.is_empty() && !host.starts_with('/')) && plain {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err("it must be an address such as http://localhost:8080".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{origin, server, url};

    #[test]
    fn addresses_of_label_studio() {
        assert_eq!(url("http://localhost:8080/").as_deref(), Ok("http://localhost:8080"));
        assert_eq!(url("https://example.org/ls").as_deref(), Ok("https://example.org/ls"));
        for text in
            ["", "localhost:8080", "ftp://a", "http://", "http:///a", "http://a b", "http://u:p@a", "http://a?b"]
        {
            assert!(url(text).is_err(), "{text}");
        }
        assert!(server("https://example.org").is_ok() && server("*").is_err() && server("s3://b").is_err());
    }

    #[test]
    fn origins_are_no_addresses_of_pages() {
        for text in ["*", "https://example.org", "http://localhost:8080"] {
            assert_eq!(origin(text).as_deref(), Ok(text));
        }
        for text in ["", "example.org", "https://", "https://example.org/", "https://a b"] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
