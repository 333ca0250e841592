//! The endpoints.

/// An endpoint of the services. Counters, faults and delays are kept for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// SpatiaFi's step 1: `GET /api/v1/auth/jwt/token/basic`.
    BasicToken,
    /// SpatiaFi's step 2: `POST /api/v1/clients/`, the slash included.
    Clients,
    /// The token endpoint: SpatiaFi's step 3, `POST /api/v1/auth/jwt/token`, Spacebring's
    /// `POST /oauth2/token`, and Acme's `POST /acme/token`.
    Token,
    /// SpatiaFi's step 4: `GET /api/info`.
    Info,
    /// SpatiaFi's step 4: `GET /api/point/LON,LAT`.
    Point,
    /// SpatiaFi's `/api/echo`: returns the authenticated request as it arrived. Not part of the real service.
    Echo,
    /// SpatiaFi's `/api/status/CODE`: answers an authenticated request with that status. Not part of the real service.
    Status,
    /// Spacebring's `GET /oauth2/authorize` and Acme's `GET /acme/authorize`: show the log-in page.
    Authorize,
    /// The target of the log-in page: Spacebring's `POST /oauth2/login` and Acme's `POST /acme/login`.
    LogIn,
    /// The target of the consent page: Spacebring's `POST /oauth2/consent` and Acme's `POST /acme/consent`.
    Consent,
    /// Spacebring's `POST /oauth2/revoke` and Acme's `POST /acme/revoke`.
    Revoke,
    /// Spacebring's `/networks/v1`.
    Networks,
    /// Spacebring's `/locations/v1`, and a single location below it.
    Locations,
    /// Spacebring's `/resources/v1`, and a single resource below it.
    Resources,
    /// Spacebring's `/plans/v1`, and a single plan below it.
    Plans,
    /// Spacebring's `/visitors/contacts/v1`, and a single contact below it.
    Contacts,
    /// Acme's metadata: `GET /.well-known/oauth-authorization-server/acme` and `GET /acme/.well-known/openid-configuration`.
    Metadata,
    /// Acme's `POST /acme/device_authorization`: starts the login of a device.
    DeviceAuthorization,
    /// Acme's `/acme/device`: the page for a device's user code.
    Device,
    /// Acme's `POST /acme/introspect`.
    Introspect,
    /// The API of Acme: `/things`.
    Things,
    /// Every other path, `/api/v1/clients` without its slash included.
    Unknown,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 22] = [
        Self::BasicToken,
        Self::Clients,
        Self::Token,
        Self::Info,
        Self::Point,
        Self::Echo,
        Self::Status,
        Self::Authorize,
        Self::LogIn,
        Self::Consent,
        Self::Revoke,
        Self::Networks,
        Self::Locations,
        Self::Resources,
        Self::Plans,
        Self::Contacts,
        Self::Metadata,
        Self::DeviceAuthorization,
        Self::Device,
        Self::Introspect,
        Self::Things,
        Self::Unknown,
    ];
}
