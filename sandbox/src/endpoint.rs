//! What can be called.

/// A place of the services that can be called. Counters, faults and delays are kept for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Step 1: `GET /api/v1/auth/jwt/token/basic`.
    BasicToken,
    /// Step 2: `POST /api/v1/clients/`, the slash included.
    Clients,
    /// Step 3: `POST /api/v1/auth/jwt/token`.
    Token,
    /// Step 4: `GET /api/info`.
    Info,
    /// Step 4: `GET /api/point/LON,LAT`.
    Point,
    /// `/api/echo`: tells a signed request what of it arrived. Not part of the real service.
    Echo,
    /// `/api/status/CODE`: answers a signed request with that status. Not part of the real service.
    Status,
    /// Every other path, `/api/v1/clients` without its slash included.
    Unknown,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 8] = [
        Self::BasicToken,
        Self::Clients,
        Self::Token,
        Self::Info,
        Self::Point,
        Self::Echo,
        Self::Status,
        Self::Unknown,
    ];
}
