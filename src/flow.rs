//! The exchanges with an authorization server. Each one is a struct, called a flow.
//!
//! Each flow is built from the URL of its endpoint and a [`ClientAuth`](crate::ClientAuth), so that it works with any server, and is
//! run with one call on a [`Transport`](crate::Transport). No constructor and no setter fails: values are checked when the flow is run, before
//! anything is sent. Flows that can be run again and again implement [`Grant`], so that they can supply tokens to a
//! [`CachingSource`](crate::CachingSource).

mod authorization_code;
mod browser_login;
mod client_credentials;
mod device_answer;
mod device_code;
mod device_login;
mod extension_grant;
mod grant;
mod introspect;
mod parameters;
mod pending_login;
mod refresh;
mod revoke;
mod scope;

pub use authorization_code::AuthorizationCode;
pub use client_credentials::ClientCredentials;
#[cfg(feature = "internals")]
pub(crate) use device_answer::DeviceAnswer;
pub use device_code::DeviceCode;
pub(crate) use device_code::GRANT_TYPE as DEVICE_CODE;
pub use extension_grant::ExtensionGrant;
pub use grant::Grant;
pub use introspect::{Introspect, Introspection};
pub use pending_login::PendingLogin;
pub(crate) use pending_login::{CodeExchange, Keeper, StartLogin};
pub use refresh::Refresh;
pub use revoke::Revoke;
