//! Details of a connection to another URL.

use ureq::http::Uri;
use ureq::unversioned::transport::ConnectionDetails;

/// Returns the same details for another URL.
pub(super) fn details_to<'a>(uri: &'a Uri, details: &ConnectionDetails<'a>) -> ConnectionDetails<'a> {
    ConnectionDetails {
        uri,
        addrs: details.addrs.clone(),
        config: details.config,
        request_level: details.request_level,
        resolver: details.resolver,
        now: details.now,
        timeout: details.timeout,
        current_time: details.current_time.clone(),
        run_connector: details.run_connector.clone(),
        register_shutdown: details.register_shutdown.clone(),
    }
}
