//! What can be called.

/// A place of the services that can be called. Counters, faults and delays are kept for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// SpatiaFi's step 1: `GET /api/v1/auth/jwt/token/basic`.
    BasicToken,
    /// SpatiaFi's step 2: `POST /api/v1/clients/`, the slash included.
    Clients,
    /// Where access tokens come from: SpatiaFi's step 3, `POST /api/v1/auth/jwt/token`, and Spacebring's
    /// `POST /oauth2/token`.
    Token,
    /// SpatiaFi's step 4: `GET /api/info`.
    Info,
    /// SpatiaFi's step 4: `GET /api/point/LON,LAT`.
    Point,
    /// SpatiaFi's `/api/echo`: tells a signed request what of it arrived. Not part of the real service.
    Echo,
    /// SpatiaFi's `/api/status/CODE`: answers a signed request with that status. Not part of the real service.
    Status,
    /// Spacebring's `GET /oauth2/authorize`: shows the log-in page.
    Authorize,
    /// Where Spacebring's log-in page leads: `POST /oauth2/login`.
    LogIn,
    /// Where Spacebring's consent page leads: `POST /oauth2/consent`.
    Consent,
    /// Spacebring's `POST /oauth2/revoke`.
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
    /// Every other path, `/api/v1/clients` without its slash included.
    Unknown,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 17] = [
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
        Self::Unknown,
    ];
}
