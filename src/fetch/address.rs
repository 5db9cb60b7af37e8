//! Addresses of a repository, its list of files and its files.

use super::FetchError;
use super::listing::is_plain;

/// The repository that the paper's authors publish.
pub const PUBLISHED: &str = "https://www.modelscope.cn/models/zzzmmz/Diffews";
/// The directory of its base model.
pub const PUBLISHED_BASE: &str = "stable-diffusion-2-1-ref8inchannels-tag4inchannels";
/// The directory of its UNet trained in context, on all classes.
pub const PUBLISHED_UNET: &str = "incontext";

const HELP: &str =
    "name a repository as https://www.modelscope.cn/models/OWNER/NAME or https://huggingface.co/OWNER/NAME";
const MODELSCOPE: &[&str] = &["modelscope.cn", "www.modelscope.cn"];
const HUGGING_FACE: &[&str] = &["huggingface.co", "www.huggingface.co"];
/// Longest accepted address.
pub(super) const MAX_ADDRESS: usize = 8192;

/// Mirrors that replace the two known servers, with scheme: `https://hf-mirror.example`.
#[derive(Clone, Debug, Default)]
pub struct Mirrors {
    /// Replaces both servers.
    pub any: Option<String>,
    /// Replaces Hugging Face if `any` is not set.
    pub hugging_face: Option<String>,
}

/// The API of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    ModelScope,
    HuggingFace,
}

/// A repository of weights on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    pub(super) layout: Layout,
    /// Scheme, host and path before the layout's own paths.
    server: String,
    owner: String,
    name: String,
    revision: String,
}

/// Scheme, host with port, and the parts of the path.
fn split(address: &str) -> Option<(&str, &str, Vec<&str>)> {
    let (scheme, rest) = address.split_once("://")?;
    let scheme = ["https", "http"].into_iter().find(|s| s.eq_ignore_ascii_case(scheme))?;
    let rest = rest.split(['?', '#']).next()?;
    let mut parts = rest.split('/');
    let host = parts.next().filter(|host| !host.is_empty())?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    (host.chars().all(good) && parts.iter().all(|part| is_plain(part))).then_some((scheme, host, parts))
}

fn joined(scheme: &str, host: &str, parts: &[&str]) -> String {
    parts.iter().fold(format!("{scheme}://{host}"), |all, part| all + "/" + part)
}

impl Repository {
    /// The repository at `address`: a page of ModelScope (`/models/OWNER/NAME`) or Hugging Face (`/OWNER/NAME`, `/OWNER/NAME/tree/BRANCH`),
    /// on its own server or on another one of the same layout. `mirrors` replace the known servers.
    ///
    /// # Errors
    /// [`FetchError::Address`].
    pub fn new(address: &str, mirrors: &Mirrors) -> Result<Repository, FetchError> {
        let wrong = |reason: &str| FetchError::Address { address: address.to_owned(), reason: reason.to_owned() };
        if address.len() > MAX_ADDRESS {
            return Err(wrong("the address is too long"));
        }
        let (scheme, host, parts) = split(address).ok_or_else(|| wrong(HELP))?;
        let at = parts.iter().position(|&part| part == "models");
        let (layout, before, rest) = match at {
            Some(at) => (Layout::ModelScope, &parts[..at], &parts[at + 1..]),
            None => {
                let end = parts.iter().position(|&part| part == "tree").unwrap_or(parts.len());
                let start = end.checked_sub(2).ok_or_else(|| wrong(HELP))?;
                (Layout::HuggingFace, &parts[..start], &parts[start..])
            }
        };
        let &[owner, name, ref rest @ ..] = rest else { return Err(wrong(HELP)) };
        let revision = match (layout, rest) {
            (Layout::HuggingFace, []) => "main",
            (Layout::HuggingFace, ["tree", revision]) => revision,
            (Layout::ModelScope, [] | ["summary" | "files"]) => "master",
            (Layout::ModelScope, ["tree", revision]) => revision,
            _ => return Err(wrong(HELP)),
        };
        let host_is = |known: &[&str]| known.iter().any(|k| k.eq_ignore_ascii_case(host));
        let mirror = match (&mirrors.any, &mirrors.hugging_face) {
            (Some(any), _) if host_is(MODELSCOPE) || host_is(HUGGING_FACE) => Some(any),
            (None, Some(own)) if host_is(HUGGING_FACE) => Some(own),
            _ => None,
        };
        let server = match mirror {
            None => joined(scheme, host, before),
            Some(mirror) => {
                let reason = "a mirror must be https://HOST, with a path if it has one".to_owned();
                let wrong = || FetchError::Address { address: mirror.clone(), reason };
                let (scheme, host, parts) = split(mirror).ok_or_else(wrong)?;
                joined(scheme, host, &parts)
            }
        };
        let [owner, name, revision] = [owner, name, revision].map(str::to_owned);
        Ok(Repository { layout, server, owner, name, revision })
    }

    /// Name of the repository, without its owner.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its page.
    pub fn address(&self) -> String {
        let Repository { server, owner, name, .. } = self;
        match self.layout {
            Layout::ModelScope => format!("{server}/models/{owner}/{name}"),
            Layout::HuggingFace => format!("{server}/{owner}/{name}"),
        }
    }

    pub(super) fn is_secure(&self) -> bool {
        self.server.starts_with("https:")
    }

    /// Address of its list of files.
    pub(super) fn listing(&self) -> String {
        let Repository { server, owner, name, revision, .. } = self;
        match self.layout {
            Layout::ModelScope => {
                format!("{server}/api/v1/models/{owner}/{name}/repo/files?Revision={revision}&Recursive=true")
            }
            Layout::HuggingFace => format!("{server}/api/models/{owner}/{name}/tree/{revision}?recursive=true"),
        }
    }

    /// Address of the list's next page, a full address or a path; `None` if it is on another server.
    pub(super) fn page(&self, next: &str) -> Option<String> {
        let host = self.server.split('/').take(3).collect::<Vec<_>>().join("/");
        let whole = if next.starts_with('/') { format!("{host}{next}") } else { next.to_owned() };
        let good = whole.len() <= MAX_ADDRESS && whole.bytes().all(|b| b.is_ascii_graphic());
        (good && whole.strip_prefix(&host)?.starts_with('/')).then_some(whole)
    }

    /// Address of a file, by its path in the repository.
    pub(super) fn file(&self, path: &str) -> String {
        let mut address = format!("{}/resolve/{}/", self.address(), self.revision);
        for byte in path.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => address.push(byte.into()),
                _ => address += &format!("%{byte:02X}"),
            }
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Result<Repository, FetchError> {
        Repository::new(address, &Mirrors::default())
    }

    #[test]
    fn addresses_of_both_layouts() {
        for (address, listing, file) in [
            (
                PUBLISHED,
                "https://www.modelscope.cn/api/v1/models/zzzmmz/Diffews/repo/files?Revision=master&Recursive=true",
                "https://www.modelscope.cn/models/zzzmmz/Diffews/resolve/master/a%20b/c.json",
            ),
            (
                "https://huggingface.co/o/n/",
                "https://huggingface.co/api/models/o/n/tree/main?recursive=true",
                "https://huggingface.co/o/n/resolve/main/a%20b/c.json",
            ),
            (
                "HTTP://host:81/pre/o/n/tree/v2?x#y",
                "http://host:81/pre/api/models/o/n/tree/v2?recursive=true",
                "http://host:81/pre/o/n/resolve/v2/a%20b/c.json",
            ),
        ] {
            let repository = of(address).unwrap();
            assert_eq!((repository.listing(), repository.file("a b/c.json")), (listing.into(), file.into()));
        }
        for address in [
            "",
            "published",
            "o/n",
            "ftp://h/o/n",
            "file:///o/n",
            "https://",
            "https://h",
            "https://h/o",
            "https://u@h/o/n",
            "https://h/../n",
            "https://h/o/n/tree/a/b",
            "https://h/models/o",
            "https://h/models/o/n/resolve/x",
            "https://h/o/n%2f",
            "https://h\\o/o/n",
        ] {
            assert!(matches!(of(address), Err(FetchError::Address { .. })), "{address}");
        }
        assert!(of(&format!("https://h/{}/n", "o".repeat(9000))).is_err());
    }

    #[test]
    fn mirrors_stand_in_for_the_known_servers_alone() {
        let mirrors = Mirrors { any: None, hugging_face: Some("https://m/hf/".into()) };
        let at = |address: &str, mirrors: &Mirrors| Repository::new(address, mirrors).unwrap().address();
        assert_eq!(at("https://huggingface.co/o/n", &mirrors), "https://m/hf/o/n");
        assert_eq!(at(PUBLISHED, &mirrors), PUBLISHED);
        assert_eq!(at("http://h/o/n", &mirrors), "http://h/o/n");
        let mirrors = Mirrors { any: Some("http://all".into()), ..mirrors };
        assert_eq!(at("https://huggingface.co/o/n", &mirrors), "http://all/o/n");
        assert_eq!(at(PUBLISHED, &mirrors), "http://all/models/zzzmmz/Diffews");
        let bad = Mirrors { any: Some("all".into()), hugging_face: None };
        assert!(Repository::new(PUBLISHED, &bad).is_err());
    }

    #[test]
    fn further_pages_are_on_the_same_server() {
        let here = of("https://h/o/n").unwrap();
        assert_eq!(here.page("/api?cursor=1").as_deref(), Some("https://h/api?cursor=1"));
        assert_eq!(here.page("https://h/x").as_deref(), Some("https://h/x"));
        for next in ["https://other/x", "https://h.evil/x", "http://h/x", "x", "https://h@evil/x", "/a b"] {
            assert_eq!(here.page(next), None, "{next}");
        }
    }
}
