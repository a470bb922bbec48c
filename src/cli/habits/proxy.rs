//! A proxy as other netcats have it, in several options, and its URL.

/// What the options say of it.
#[derive(Debug, Default)]
pub(super) struct ForeignProxy {
    /// Its address, whose port may be missing.
    pub server: Option<String>,
    /// The word for its protocol.
    pub kind: Option<String>,
    /// The protocol where no option names one: ncat's default is another one than nc's.
    pub usual: Option<&'static str>,
    /// Whether it is told who asks.
    pub has_user: bool,
}

impl ForeignProxy {
    /// Its URL; `None` when no option names an address, or the protocol is none that is spoken here.
    pub(super) fn url(&self) -> Option<String> {
        let server = self.server.as_deref().filter(|server| !server.is_empty())?;
        let kind = self.kind.as_deref().or(self.usual).unwrap_or("5").to_ascii_lowercase();
        let (scheme, port) = match &*kind {
            "5" | "socks5" => ("socks5", "1080"),
            "connect" | "http" => ("http", "3128"),
            _ => return None,
        };
        // What was written would show a password to whoever looks over a shoulder.
        let user = if self.has_user { "USER:PASS@" } else { "" };
        let place = match server.rsplit_once(':') {
            None => format!("{server}:{port}"),
            Some((_, last)) if server.starts_with('[') => match last.contains(']') {
                true => format!("{server}:{port}"),
                false => server.to_owned(),
            },
            Some((host, _)) if host.contains(':') => format!("[{server}]:{port}"),
            Some((_, "")) => format!("{server}{port}"),
            Some(_) => server.to_owned(),
        };
        Some(format!("{scheme}://{user}{place}"))
    }
}

/// The URL of a proxy without the name and password that it may hold.
pub(super) fn without_secret(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://USER:PASS@{place}"),
        _ => url.to_owned(),
    }
}
