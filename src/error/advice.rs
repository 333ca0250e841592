//! [`Advice`]: what a person can do about an error, and its wording.

use std::fmt;

/// Declares [`Advice`] and its wording in one table.
macro_rules! advice {
    ($($name:ident = $text:literal,)*) => {
        /// What to do about an [`Error`](crate::Error): the last part of its text.
        ///
        /// [`Error::text_with`](crate::Error::text_with) lets a program put an advice into its own words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Advice {
            $(#[doc = concat!("“", $text, "”")] $name,)*
        }

        impl Advice {
            /// Returns the advice in the words of the Rust library.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

advice! {
    // For any exchange or call.
    TryAgain = "try again",
    TryAgainLater = "try again later",
    CheckUrl = "check the URL",
    CheckUrlAndSlash = "check the URL, a '/' at its end included",
    CheckNetwork = "check the network, the proxy and the URL",
    CheckUrlAndProxy = "check the URL and the proxy",
    CheckPortAndScheme = "check the port and the scheme of the URL, and the proxy",
    CheckProxy = "check the proxy",
    AddProxyCredentials = "add them to the URL of the proxy, as in http://user:password@host:port",
    CheckProxyCredentials = "check those in the URL of the proxy",
    AskProxyOperator = "ask the operator of the proxy whether it allows this connection",
    SetHttpProxy = "set https_proxy to an HTTP proxy, or add the host to NO_PROXY",
    EnlargeBuffer = "make that shorter, or the output buffer larger with `with_buffer_sizes`",

    // For client authentication and grants.
    CheckClient = "check the client id and secret",
    CheckUserAndPassword = "check the user name and password",
    CheckUrlAndClient = "check the URL and the client",
    CheckGrant = "check the grant and its parameters",
    CheckClientMayUseGrant = "check that this client may use this grant",
    CheckParameters = "check the parameters",
    AllowShortKey = "check that it is complete, or use `allow_short_key` if the service issues such",
    SetSpatiaFiCredentials =
        "set SPATIAFI_CLIENT_ID and SPATIAFI_CLIENT_SECRET, or make app credentials with `Registration`",

    CheckIssuer = "check the issuer, a '/' at its end included, or give the URL of each endpoint",

    // For a login.
    LogIn = "log in again",
    LogInByHand = "log in again, and open the login URL by hand if this repeats",
    LogInOrCheckUrls = "log in again, and check the URLs if this repeats",
    LogInAndAllow = "log in again and allow the access",
    LogInWithoutPkce = "log in again, with `without_pkce` if the server does not know it",
    LogInWithoutRedirectUri = "log in again, with `without_redirect_uri` if the server does not know it",
    LogInWithoutPkceOrRedirectUri =
        "log in again, with `without_pkce` or `without_redirect_uri` if the server does not know them",
    FollowLoginUrl = "open the login URL again and follow it to its end",
    FollowLoginUrlInTime = "open the login URL and follow it to its end in time",
    PasteCallbackUrl = "paste the whole address that the browser shows after the login",
    PasteCallbackUrlOrLogIn =
        "paste the whole address that the browser shows after the login, or log in again and check the URLs if this repeats",
    LogInAndPasteWhole =
        "log in again and paste the whole address; if it was whole, the server may not know a parameter that keyfob can leave out",
    WithoutState = "if the server does not send it back, use `without_state`",
    CheckScopes = "check the scopes",
    CheckClientAndRedirectUri = "check the client id and the redirect URI",
    CheckClientOrWithoutPkce =
        "check the client id and the redirect URI, or use `without_pkce` if the server does not know it",

    // For an API call.
    CheckRequest = "check the URL and the request",
    CheckUrlOrAllowOrigins = "check the URL, or allow other origins with `allow_other_origins`",
    CheckRequestParts = "check its URL (at most 65534 bytes), method and headers",
    CheckClientOrToken = "check the client id and secret, or the token",
    CheckPermissions = "check what these credentials may do",
    NoRedirects = "redirects are not followed: check the URL",
    RaiseLimit = "raise the limit",
    CheckListUrl = "check the URL of the list",
    TellService = "tell the service, or ask for smaller parts of the list",
    CheckType = "check the type",
    ShortenPages = "ask for fewer items with `limit`, or allow more",
    FewerCalls = "make fewer calls at once, or allow them more time",

    // For the operating system.
    RaiseOpenFiles = "raise its limit (ulimit -n), or close some of them",
    EndPrograms = "end some programs, or try again later",
    CheckIpFamilyAndUrl = "check whether IPv6 (or IPv4) is switched off here, and the URL",
    CheckIpFamilyAndConnections =
        "check whether IPv6 (or IPv4) is switched off here, or too many connections are open",
    CheckMachineAndUrl = "check this machine's network, and the URL",
    CheckMachine = "check this machine's network",
    CheckFirewallsAndUrl = "check the network, its firewalls and the URL",
    CheckFirewall = "check its firewall, and what this process may do",
    RaiseThreads = "raise the limit on processes and threads (ulimit -u), or on memory",
    CheckDns = "check the network and the DNS settings (/etc/resolv.conf), or try again later",

    // For TLS.
    EnableTls = "enable its feature rustls or native-tls",
    SetClock = "set the clock, which is probably behind",
    SetClockOrRenewCertificate = "set the clock if it is wrong; else the server needs a new certificate",
    NameCaFile = "name the CA file of its authority, or check the proxy",
    ExtendCaFile = "add the server's authority to the file, or check the proxy",
    CheckCaFileAndKey = "check the CA file for an old certificate of that authority, and the server's key",
    UseServerCertificate = "the server needs a certificate of its own, signed by that authority",
    UseAuthoritysCertificate = "the server needs a certificate from an authority",
    UseOtherAuthority = "the server needs a certificate from another authority",
    UseSupportedKey = "the server needs a certificate with ECDSA P-256 or P-384, or RSA of 2048 bits or more",
    UseNoExtension = "the server needs a certificate without it",
    UseServerPurpose = "the server needs a certificate for server authentication",
    RenewCertificate = "the server needs a new certificate",
    ReplaceCertificate = "the server needs another certificate; check the URL and the proxy",
    UpdateServer = "the server, or a proxy on the way, needs an update",
    UseCommonAlgorithms =
        "the server needs a certificate with ECDSA P-256 or P-384 or RSA, and key exchange by ECDHE",
    SetClientCertificate = "set a client certificate and its key, or check those that are set",
    AskOperator = "ask the operator of the server",
    TryAgainOrAskOperator = "try again later, or ask the operator of the server",
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
