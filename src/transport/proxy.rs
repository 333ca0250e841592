//! Decides through which proxy a request goes, if any: one that was given, or one that the environment names, by curl's rules.

use std::borrow::Cow;
use std::ffi::OsString;
use std::net::IpAddr;
use std::sync::Arc;

use ureq::ProxyProtocol;
use ureq::http::Uri;

use crate::check;
use crate::error::{Advice, Error};
use crate::secret::{Known, Secret};
use crate::transport::endpoint::{has_bad_port, is_loopback, is_plain_http};
use crate::transport::resolver::literal;

/// The variables in curl's order, for https. `HTTP_PROXY` is for plain http, which never uses a proxy here. So a web server that copies a
/// request's `Proxy` header into that variable (httpoxy, CVE-2016-5385) has no effect.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const EXCEPT: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The place that names the proxies.
#[derive(Clone)]
pub(crate) enum ProxySetting {
    None,
    /// The caller names it. An error is kept until the setting is used.
    Given(Result<Proxies, Error>),
    /// The environment names it. It is read when the setting is used.
    Env,
}

impl ProxySetting {
    pub(crate) fn proxies(&self) -> Result<Proxies, Error> {
        match self {
            Self::None => Ok(Proxies::default()),
            Self::Given(proxies) => proxies.clone(),
            Self::Env => Ok(Proxies::from_env(|name| std::env::var_os(name))),
        }
    }

    pub(crate) fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }
}

/// The proxies of a transport. They decide for each target, so that a proxy that cannot be used is an error only where it would be used.
#[derive(Clone, Default)]
pub(crate) struct Proxies {
    proxy: Option<ureq::Proxy>,
    /// The variable whose value cannot be used as a proxy.
    unusable: Option<&'static str>,
    /// The targets without a proxy: the value of `NO_PROXY`.
    except: Arc<str>,
    /// Whether requests to this machine also use no proxy. True if a person named one proxy for all programs or all services.
    skips_loopback: bool,
    /// As long as this is kept, no error shows the password, even if a server repeats it.
    _password: Option<Known>,
}

/// The error for a target whose proxy cannot be used. Holds the name of the variable that sets the proxy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unusable(&'static str);

impl Unusable {
    /// Returns the error: what is wrong and what to do. It does not show the value, which may hold a password. `doing` and `place` are as
    /// for [`Error::with_task`].
    pub(crate) fn error(&self, doing: &'static str, place: String) -> Error {
        let what = format!(
            "the proxy in {} cannot be used: it is not of the form http://host:port (SOCKS is not supported)",
            self.0
        );
        Error::invalid(what).with_task(doing, place).with_advice(Advice::SetHttpProxy)
    }
}

impl Proxies {
    /// Makes one proxy for all targets. `NO_PROXY` is not read, because it belongs to the environment's proxies.
    pub(crate) fn given(url: &Secret) -> Result<Self, Error> {
        check::value("proxy URL", url.expose())?;
        let proxy = url
            .expose_str()
            .and_then(parse)
            .ok_or_else(|| Error::invalid("the proxy URL is not of the form http://host:port"))?;
        Ok(Self { _password: password(&proxy), proxy: Some(proxy), ..Self::default() })
    }

    /// Returns the same proxy, but for other machines only.
    pub(crate) fn without_loopback(self) -> Self {
        Self { skips_loopback: true, ..self }
    }

    /// Reads the environment. An empty variable counts as unset.
    pub(crate) fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let first = |names: &[&'static str]| {
            names
                .iter()
                .find_map(|&name| variable(name).filter(|value| !value.is_empty()).map(|value| (name, value)))
        };
        let Some((name, value)) = first(&VARIABLES) else { return Self::default() };
        let proxy = value.to_str().and_then(parse);
        let except = first(&EXCEPT).map(|(_, list)| list);
        Self {
            unusable: proxy.is_none().then_some(name),
            _password: proxy.as_ref().and_then(password),
            proxy,
            except: except.as_ref().map_or(Cow::default(), |list| list.to_string_lossy()).into(),
            skips_loopback: true,
        }
    }

    /// Returns the proxy of most targets.
    pub(crate) fn usual(&self) -> Option<&ureq::Proxy> {
        self.proxy.as_ref()
    }

    pub(crate) fn of(&self, target: &Uri) -> Result<Option<&ureq::Proxy>, Unusable> {
        // Fast, because each call comes here and most programs have no proxy.
        if self.proxy.is_none() && self.unusable.is_none() {
            return Ok(None);
        }
        // Plain http is only for this machine. A proxy would send it in clear text over the network.
        let is_direct = |host| self.skips_loopback && is_loopback(host) || is_listed(host, &self.except);
        if is_plain_http(target) || target.host().is_some_and(is_direct) {
            return Ok(None);
        }
        self.unusable.map_or(Ok(self.proxy.as_ref()), |name| Err(Unusable(name)))
    }
}

/// Returns host and port of a proxy, without user name and password.
pub(crate) fn place(proxy: &ureq::Proxy) -> String {
    format!("{}:{}", proxy.host(), proxy.port())
}

fn password(proxy: &ureq::Proxy) -> Option<Known> {
    proxy.password().map(Known::new)
}

fn parse(url: &str) -> Option<ureq::Proxy> {
    let url = match url.split_once(":/") {
        Some((_, rest)) if !rest.starts_with('/') => return None,
        Some(_) => Cow::from(url),
        None => format!("http://{url}").into(),
    };
    ureq::Proxy::new(&url).ok().filter(|proxy| {
        matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https)
            && proxy
                .uri()
                .authority()
                .is_some_and(|authority| !authority.host().is_empty() && !has_bad_port(authority))
    })
}

/// Whether a host is in a list in the form of `NO_PROXY`. Its items are names, addresses and networks, separated by commas or white space.
/// A name stands for the names below it too. A lone `*` is all hosts.
fn is_listed(host: &str, list: &str) -> bool {
    if list == "*" {
        return true;
    }
    let ip = literal(host);
    let name = host.strip_suffix('.').unwrap_or(host);
    list.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|entry| !entry.is_empty()).any(|entry| {
        match ip {
            Some(ip) => network_holds(entry, ip),
            None => is_or_is_below(name, entry),
        }
    })
}

fn is_or_is_below(name: &str, domain: &str) -> bool {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let Some((above, tail)) = name.len().checked_sub(domain.len()).and_then(|at| name.split_at_checked(at))
    else {
        return false;
    };
    !domain.is_empty() && tail.eq_ignore_ascii_case(domain) && (above.is_empty() || above.ends_with('.'))
}

/// Whether a network holds an address. `network` is an address, in brackets or not, or a range in CIDR notation.
fn network_holds(network: &str, ip: IpAddr) -> bool {
    let (network, bits) = match network.split_once('/') {
        Some((network, bits)) => match leading_number(bits) {
            Some(bits) => (network, Some(bits)),
            None => return false,
        },
        None => (network, None),
    };
    let agree = |differing: u128, of: u32| match bits.unwrap_or(of) {
        // As in curl: `/0` stands for the address alone, not for all addresses.
        0 => differing == 0,
        bits => bits <= of && differing.checked_shr(of - bits).unwrap_or(0) == 0,
    };
    match (literal(network), ip) {
        (Some(IpAddr::V4(network)), IpAddr::V4(ip)) => {
            agree(u128::from(network.to_bits() ^ ip.to_bits()), u32::BITS)
        }
        (Some(IpAddr::V6(network)), IpAddr::V6(ip)) => agree(network.to_bits() ^ ip.to_bits(), u128::BITS),
        _ => false,
    }
}

/// Returns the number at the start of a text, and 0 if there is none, like curl's `atoi`. `None` if it is negative or too large.
fn leading_number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    match digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default() {
        "" if text.starts_with('-') => None,
        "" => Some(0),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::process::Command;

    use super::*;

    /// Each row is the value of `NO_PROXY`, the host, whether it is connected to directly, and whether curl 7.88 agrees.
    const EXCEPTIONS: [(&str, &str, bool, bool); 76] = [
        ("example.test", "a.example.test", true, true),
        ("example.test", "example.test", true, true),
        ("example.test", "notexample.test", false, true),
        ("example.test", "example.test.elsewhere.test", false, true),
        ("a.example.test", "example.test", false, true),
        (".example.test", "a.example.test", true, true),
        (".example.test", "example.test", true, true),
        ("..example.test", "a.example.test", false, true),
        ("*.example.test", "a.example.test", false, true),
        ("EXAMPLE.Test", "a.example.test", true, true),
        ("example.test", "A.EXAMPLE.TEST", true, true),
        ("example.test.", "a.example.test", true, true),
        (".example.test.", "a.example.test", true, true),
        ("example.test", "a.example.test.", true, true),
        ("example.test..", "a.example.test", false, true),
        ("test", "a.example.test", true, true),
        ("ample.test", "a.example.test", false, true),
        ("a", "a.example.test", false, true),
        ("", "a.example.test", false, true),
        (" ", "a.example.test", false, true),
        (",", "a.example.test", false, true),
        (".", "a.example.test", false, true),
        ("*", "a.example.test", true, true),
        ("*", "127.0.0.1", true, true),
        ("*", "[::1]", true, true),
        (" * ", "a.example.test", false, true),
        ("*,other.test", "a.example.test", false, true),
        ("other.test,*", "a.example.test", false, true),
        ("localhost, example.test", "a.example.test", true, true),
        ("localhost ,\texample.test ", "a.example.test", true, true),
        ("localhost,,example.test", "a.example.test", true, true),
        ("localhost example.test", "a.example.test", true, true),
        ("localhost\texample.test", "localhost", true, true),
        ("localhost;example.test", "a.example.test", false, true),
        // For example, from a file with the line ends of Windows.
        ("example.test\r\n", "a.example.test", true, false),
        ("a.example.test:443", "a.example.test", false, true),
        ("https://a.example.test", "a.example.test", false, true),
        ("localhost", "localhost", true, true),
        ("localhost", "a.localhost", true, true),
        ("localhost", "127.0.0.1", false, true),
        ("127.0.0.1", "localhost", false, true),
        ("127.0.0.1", "127.0.0.1", true, true),
        ("127.0.0.1:443", "127.0.0.1", false, true),
        ("0.0.1", "127.0.0.1", false, true),
        ("1", "127.0.0.1", false, true),
        ("127.0.0.0/8", "127.9.9.9", true, true),
        ("other.test, 127.0.0.0/8", "127.0.0.1", true, true),
        ("10.0.0.0/8", "127.0.0.1", false, true),
        ("127.0.0.2/31", "127.0.0.1", false, true),
        ("127.0.0.2/31", "127.0.0.3", true, true),
        ("127.0.0.1/32", "127.0.0.1", true, true),
        ("127.0.0.1/33", "127.0.0.1", false, true),
        ("127.0.0.0/-8", "127.0.0.1", false, true),
        ("127.0.0.0/eight", "127.0.0.1", false, true),
        ("127/8", "127.0.0.1", false, true),
        ("0.0.0.0/0", "127.0.0.1", false, true),
        ("127.0.0.0/8", "a.example.test", false, true),
        ("::ffff:127.0.0.0/104", "127.0.0.1", false, true),
        ("::1", "[::1]", true, true),
        ("fd00::/8", "[::1]", false, true),
        ("10.0.0.0/8 127.0.0.0/8", "127.0.0.1", true, true),
        ("LOCALHOST,\tAuth.Example.TEST", "auth.example.test", true, true),
        ("127.0.0.0/9", "127.128.0.1", false, true),
        ("127.0.0.0/08", "127.0.0.1", true, true),
        ("127.0.0.1/", "127.0.0.1", true, true),
        ("127.0.0.0/+8", "127.0.0.1", true, true),
        ("127.0.0.0/8x", "127.0.0.1", true, true),
        ("127.0.0.0/8/9", "127.0.0.1", true, true),
        ("127.0.0.1/-8", "127.0.0.1", false, true),
        ("127.0.0.1/x", "127.0.0.1", true, true),
        (" .Example.Test , other.test", "auth.example.test", true, true),
        // curl 7.88 compares IPv6 addresses as text.
        ("[::1]", "[::1]", true, false),
        ("0:0::1", "[::1]", true, false),
        ("fd00::/8", "[fd12::1]", true, false),
        ("[fd00::]/8", "[fd12::1]", true, false),
        ("::/120", "[::ff]", true, false),
    ];

    /// Each row names variables that each name a proxy (with `!` one that cannot be used), and the variable that is used.
    const ORDER: [(&str, Result<&str, &str>); 18] = [
        ("https_proxy HTTPS_PROXY all_proxy ALL_PROXY HTTP_PROXY http_proxy", Ok("https_proxy")),
        ("HTTPS_PROXY all_proxy ALL_PROXY", Ok("HTTPS_PROXY")),
        ("all_proxy ALL_PROXY", Ok("all_proxy")),
        ("ALL_PROXY", Ok("ALL_PROXY")),
        ("HTTP_PROXY http_proxy", Ok("")),
        ("HTTP_PROXY REQUEST_METHOD", Ok("")),
        ("", Ok("")),
        ("!ALL_PROXY HTTPS_PROXY", Ok("HTTPS_PROXY")),
        ("!all_proxy !ALL_PROXY https_proxy", Ok("https_proxy")),
        ("!HTTPS_PROXY https_proxy", Ok("https_proxy")),
        ("!https_proxy HTTPS_PROXY", Err("https_proxy")),
        ("!HTTPS_PROXY ALL_PROXY", Err("HTTPS_PROXY")),
        ("!ALL_PROXY HTTP_PROXY", Err("ALL_PROXY")),
        ("!HTTP_PROXY", Ok("")),
        ("!all_proxy HTTPS_PROXY", Ok("HTTPS_PROXY")),
        ("!all_proxy !ALL_PROXY !HTTPS_PROXY !http_proxy https_proxy", Ok("https_proxy")),
        ("!http_proxy !HTTP_PROXY ALL_PROXY", Ok("ALL_PROXY")),
        ("!all_proxy ALL_PROXY", Err("all_proxy")),
    ];

    fn from(variables: &[(&str, &str)]) -> Proxies {
        let variables: Vec<_> = variables.iter().map(|&(n, v)| (n.to_owned(), OsString::from(v))).collect();
        Proxies::from_env(|name| variables.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()))
    }

    fn target(host: &str) -> Uri {
        format!("https://{host}/").parse().unwrap()
    }

    /// Sets each variable to a proxy of its own.
    fn set(names: &str) -> Vec<(&str, String)> {
        let value = |name: &str| match name.strip_prefix('!') {
            Some(_) => "socks5://127.0.0.1:1".to_owned(),
            None => format!("http://{}.test:1", name.replace('_', "-")),
        };
        names.split_whitespace().map(|name| (name.trim_start_matches('!'), value(name))).collect()
    }

    #[test]
    fn no_proxy_excludes_the_hosts_that_curl_excludes() {
        for (list, host, direct, _) in EXCEPTIONS {
            for name in EXCEPT {
                let proxies = from(&[("https_proxy", "http://proxy.test:1"), (name, list)]);
                // curl has a proxy for loopback too.
                let proxies = Proxies { skips_loopback: false, ..proxies };
                let proxy = proxies.of(&target(host)).unwrap();
                assert_eq!(proxy.is_none(), direct, "{name}={list:?} {host}");
            }
        }
    }

    #[test]
    fn only_a_proxy_of_the_program_itself_is_used_for_loopback() {
        let url = "http://proxy.test:1";
        let given = || Proxies::given(&url.into()).unwrap();
        let of_environment = [from(&[("https_proxy", url)]), given().without_loopback()];
        for (host, is_loopback) in [
            ("localhost", true),
            ("LOCALHOST", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("0.0.0.0", false),
            ("localhost.test", false),
            ("128.0.0.1", false),
            ("[::2]", false),
        ] {
            assert!(given().of(&target(host)).unwrap().is_some(), "{host}");
            for proxies in &of_environment {
                assert_eq!(proxies.of(&target(host)).unwrap().is_none(), is_loopback, "{host}");
            }
        }
        // Nor is one that cannot be used an error there.
        assert_eq!(from(&[("https_proxy", "socks5://proxy.test:1")]).of(&target("[::1]")), Ok(None));
    }

    #[test]
    fn lower_case_variable_has_precedence_and_an_empty_one_counts_as_unset() {
        let proxy = ("https_proxy", "http://proxy.test:1");
        for (lower, upper, direct) in
            [("a.test", "b.test", false), ("", "b.test", true), ("b.test", "", true)]
        {
            let proxies = from(&[proxy, ("no_proxy", lower), ("NO_PROXY", upper)]);
            assert_eq!(proxies.of(&target("b.test")).unwrap().is_none(), direct, "{lower} {upper}");
        }
        let proxies =
            from(&[("https_proxy", ""), ("HTTPS_PROXY", ""), ("all_proxy", ""), ("ALL_PROXY", proxy.1)]);
        assert_eq!(proxies.of(&target("b.test")).unwrap().unwrap().host(), "proxy.test");
    }

    #[test]
    fn specific_variable_has_precedence_and_an_unusable_proxy_is_an_error_only_where_it_applies() {
        for (names, expected) in ORDER {
            let set = set(names);
            let mut variables: Vec<_> = set.iter().map(|(n, v)| (*n, v.as_str())).collect();
            variables.push(("NO_PROXY", "direct.test"));
            let proxies = from(&variables);
            let used = |host: &str| {
                proxies.of(&target(host)).map(|proxy| proxy.map(|proxy| format!("http://{}:1", proxy.host())))
            };
            let expected = expected
                .map_err(Unusable)
                .map(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()));
            assert_eq!(used("auth.test"), expected, "{names}");
            assert_eq!(used("direct.test"), Ok(None), "{names}");
            assert_eq!(proxies.of(&"http://127.0.0.1/".parse().unwrap()), Ok(None), "{names}");
        }
    }

    #[test]
    fn proxy_variable_may_hold_a_url_or_host_and_port() {
        let proxy = |value: &str| {
            let proxies = from(&[("ALL_PROXY", value)]);
            proxies.of(&target("auth.test")).ok().flatten().map(|proxy| {
                let named =
                    proxy.username().map(|user| format!("{user} {} ", proxy.password().unwrap_or_default()));
                format!(
                    "{}{}://{}:{}",
                    named.unwrap_or_default(),
                    proxy.uri().scheme_str().unwrap(),
                    proxy.host(),
                    proxy.port()
                )
            })
        };
        for (value, expected) in [
            ("proxy.test:3128", "http://proxy.test:3128"),
            ("proxy.test", "http://proxy.test:80"),
            ("proxy.test/", "http://proxy.test:80"),
            ("HTTP://proxy.test:3128/a?b#c", "http://proxy.test:3128"),
            ("https://proxy.test", "https://proxy.test:443"),
            ("[::1]:3128", "http://[::1]:3128"),
            ("http://us%40er:p%3Aw%25@proxy.test:3128", "us@er p:w% http://proxy.test:3128"),
            ("user:pass@proxy.test:3128", "user pass http://proxy.test:3128"),
            ("user@proxy.test:3128", "user  http://proxy.test:3128"),
            ("Https://Proxy.test:8443/", "https://Proxy.test:8443"),
            ("http://user:a:b@[fd00::1]:3128", "user a:b http://[fd00::1]:3128"),
            ("http://proxy.test:", "http://proxy.test:80"),
        ] {
            assert_eq!(proxy(value).as_deref(), Some(expected), "{value}");
        }
        for value in [
            "socks://proxy.test:1080",
            "socks4://proxy.test:1080",
            "socks4a://proxy.test:1080",
            "socks5://proxy.test:1080",
            "socks5h://proxy.test:1080",
            "ftp://proxy.test:21",
            "http://",
            "http:///",
            "http://:3128",
            ":3128",
            "//proxy.test:3128",
            "http:/proxy.test:3128",
            "http:proxy.test:3128",
            "http://proxy.test:65536",
            "http://proxy.test:x",
            "http://proxy.test:3128 ",
            " http://proxy.test:3128",
            "http://pro xy.test:3128",
            "http://user:%ff@proxy.test:3128",
            "proxy.test:3128\r",
            "SOCKS5://proxy.test:1080",
            "socks5h://user:pass@proxy.test",
            "proxy.test:-1",
        ] {
            assert_eq!(proxy(value), None, "{value}");
            assert_eq!(
                from(&[("ALL_PROXY", value)]).of(&target("auth.test")),
                Err(Unusable("ALL_PROXY")),
                "{value}"
            );
            assert!(Proxies::given(&value.into()).is_err(), "{value}");
        }
    }

    #[test]
    fn given_proxy_applies_to_all_hosts() {
        let proxies = Proxies::given(&"proxy.test:3128".into()).unwrap();
        assert_eq!(proxies.of(&target("127.0.0.1")).unwrap().unwrap().port(), 3128);
    }

    #[test]
    #[ignore = "needs curl"]
    fn curl_chooses_the_same_proxy() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        // The listener closes each connection without an answer. Only the connection itself counts.
        let through = |variables: &[(&str, &str)], host: &str| {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--max-time", "10", "--resolve", "*:443:127.0.0.1"]);
            curl.arg(format!("https://{host}/")).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
            let mut child = curl.envs(variables.iter().copied()).spawn().expect("curl is installed");
            let mut came = false;
            while child.try_wait().unwrap().is_none() {
                came |= listener.accept().is_ok();
                std::thread::yield_now();
            }
            came || listener.accept().is_ok()
        };
        for (list, host, direct, agrees) in EXCEPTIONS {
            let came = through(&[("https_proxy", &url), ("no_proxy", list)], host);
            assert!(!agrees || came != direct, "{list:?} {host}: through the proxy: {came}");
        }
        for (names, expected) in ORDER {
            // The variable that should be used names the listener, and the others name closed ports.
            let Ok(used) = expected else { continue };
            let set = set(names);
            let nowhere = "http://127.0.0.1:1";
            let variables: Vec<_> = set
                .iter()
                .map(|(name, _)| (*name, if *name == used { url.as_str() } else { nowhere }))
                .collect();
            assert_eq!(through(&variables, "auth.test"), !used.is_empty(), "{names}");
        }
    }
}
