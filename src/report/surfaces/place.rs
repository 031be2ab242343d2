//! From a site's words to a place in a repository: the source file as a relative URI, and the function.
//!
//! A site is `function (file)`, `file`, `function` or `unknown site: message`, cut at 200 bytes and neutralised. Gives
//! only what is sure of it. A file is a producer's text: what comes out is percent-encoded, relative and without `..`,
//! so that no viewer opens a local path or leaves the repository. A path that was absolute on the machine that built
//! the service is shortened to its package's folder, since nobody tells where the repository began.

use std::fmt::Write;

/// What ends a text that was cut.
const CUT: char = '…';

/// Folders of a Cargo package that hold sources.
const PACKAGE_FOLDERS: [&str; 4] = ["src", "tests", "examples", "benches"];

/// Where a site is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SitePlace {
    /// The source file in its repository, as a relative URI.
    pub(super) uri: Option<String>,
    /// Whether folders in front of it were left out.
    pub(super) shortened: bool,
    /// The function.
    pub(super) function: Option<String>,
}

impl SitePlace {
    /// The place that a site's words tell.
    pub(super) fn of(site: &str) -> Self {
        let (function, file) = parts(site);
        let (uri, shortened) = file.and_then(uri).map_or((None, false), |(uri, shortened)| (Some(uri), shortened));
        Self { uri, shortened, function: function.filter(|name| !name.is_empty()).map(ToOwned::to_owned) }
    }
}

/// Function and file.
fn parts(site: &str) -> (Option<&str>, Option<&str>) {
    if site.starts_with("unknown site: ") {
        return (None, None);
    }
    if site.ends_with(CUT) {
        // The function is whole when something came after it; of the file the end is missing.
        return (site.split_once(" (").map(|(function, _)| function), None);
    }
    if let Some((function, file)) = site.strip_suffix(')').and_then(|site| site.rsplit_once(" (")) {
        return (Some(function), Some(file));
    }
    let is_file = !site.contains("::") && site.contains(['/', '\\', '.']);
    if is_file { (None, Some(site)) } else { (Some(site), None) }
}

/// The file as a relative URI, and whether folders were left out; `None` where it is not of the service's repository.
fn uri(file: &str) -> Option<(String, bool)> {
    let path = file.replace('\\', "/");
    let foreign =
        path.starts_with("/rustc/") || ["/registry/src/", "/git/checkouts/"].iter().any(|at| path.contains(at));
    if foreign {
        return None;
    }
    let drive = path.split_once(":/").is_some_and(|(drive, _)| drive.chars().count() == 1);
    let absolute = path.starts_with('/') || drive;
    let mut folders: Vec<&str> = Vec::new();
    for folder in path.split('/') {
        match folder {
            "" | "." => {}
            ".." => drop(folders.pop()),
            folder => folders.push(folder),
        }
    }
    let package = folders.iter().rposition(|folder| PACKAGE_FOLDERS.contains(folder));
    let skipped = if absolute { package.unwrap_or(folders.len().saturating_sub(1)) } else { 0 };
    let kept: Vec<String> = folders.into_iter().skip(skipped).map(encoded).collect();
    (!kept.is_empty()).then(|| (kept.join("/"), absolute))
}

/// A path segment in which nothing but RFC 3986's unreserved characters stands for itself.
fn encoded(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(encoded, "%{byte:02X}").unwrap_or_default();
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_site_is_taken_apart_as_far_as_it_is_sure() {
        let check = |site: &str, uri: Option<&str>, function: Option<&str>| {
            let place = SitePlace::of(site);
            assert_eq!((place.uri.as_deref(), place.function.as_deref()), (uri, function), "{site}");
        };
        check("api::get (src/cart.rs)", Some("src/cart.rs"), Some("api::get"));
        check("<fn (A) as Call>::call (src/a.rs)", Some("src/a.rs"), Some("<fn (A) as Call>::call"));
        check("src/main.rs", Some("src/main.rs"), None);
        check("lib.rs", Some("lib.rs"), None);
        check("api::get", None, Some("api::get"));
        check("main", None, Some("main"));
        check("build.rs.in", Some("build.rs.in"), None);
        check("unknown site: index # (src/x.rs)", None, None);
        check("api::get (src/very/long…", None, Some("api::get"));
        check("src/very/long…", None, None);
        check("", None, None);
    }

    #[test]
    fn a_uri_is_relative_and_stays_in_the_repository() {
        let check = |file: &str, expected: Option<(&str, bool)>| {
            assert_eq!(uri(file), expected.map(|(uri, shortened)| (uri.to_owned(), shortened)), "{file}");
        };
        check("src/cart.rs", Some(("src/cart.rs", false)));
        check("crates/api/src/main.rs", Some(("crates/api/src/main.rs", false)));
        check("./src//a b.rs", Some(("src/a%20b.rs", false)));
        check("../../etc/passwd", Some(("etc/passwd", false)));
        check("a/../../../b.rs", Some(("b.rs", false)));
        check("..", None);
        check("/builds/ci/work/shop/crates/api/src/cart.rs", Some(("src/cart.rs", true)));
        check("/etc/passwd", Some(("passwd", true)));
        check("C:\\work\\shop\\src\\main.rs", Some(("src/main.rs", true)));
        check("\\\\server\\share\\src\\main.rs", Some(("src/main.rs", true)));
        check("src\\main.rs", Some(("src/main.rs", false)));
        check("javascript:alert(1)", Some(("javascript%3Aalert%281%29", false)));
        check("https://evil.example/x.rs?q#f", Some(("https%3A/evil.example/x.rs%3Fq%23f", false)));
        check("file:///etc/x", Some(("file%3A/etc/x", false)));
        check("src/%2e%2e/ü.rs", Some(("src/%252e%252e/%C3%BC.rs", false)));
        check("/rustc/59807616/library/core/src/option.rs", None);
        check("/opt/cargo/registry/src/index.crates.io-1/bytes-1.9.0/src/buf.rs", None);
        check("/opt/cargo/git/checkouts/x-1/2/src/lib.rs", None);
        check("", None);
        check("/", None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_uri_that_leaves(site in "[ a-z./\\\\:()%?#@…\u{202e}-]{0,60}|.{0,60}") {
            if let Some(uri) = SitePlace::of(&site).uri {
                prop_assert!(!uri.starts_with('/') && !uri.contains("//") && !uri.contains(':'), "{uri}");
                prop_assert!(uri.split('/').all(|part| !part.is_empty() && part != ".." && part != "."), "{uri}");
                prop_assert!(uri.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%/".contains(&b)), "{uri}");
            }
        }
    }
}
