//! Makes a TCP connection to one of several addresses, or says why no address could be connected to.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ureq::Timeout;

use crate::clock::Deadline;
use crate::transport::failure::is_shortage;

use super::wire_error::is_timeout;

/// Connects to the first address that answers. Each address has half of the time that the one before it had.
pub(super) fn dial(
    addresses: &[SocketAddr],
    deadline: Deadline,
    reason: Timeout,
) -> Result<TcpStream, ureq::Error> {
    first_of(addresses, deadline, reason, TcpStream::connect_timeout)
}

fn first_of<T>(
    addresses: &[SocketAddr],
    deadline: Deadline,
    reason: Timeout,
    mut connect: impl FnMut(&SocketAddr, Duration) -> io::Result<T>,
) -> Result<T, ureq::Error> {
    const LEAST: Duration = Duration::from_millis(10);
    let whole = deadline.remaining();
    let weights: f64 = addresses.iter().zip(0..).map(|(_, number)| 0.5_f64.powi(number)).sum();
    let mut failed: Option<io::Error> = None;
    for (address, number) in addresses.iter().zip(0..) {
        let share = whole.mul_f64(0.5_f64.powi(number) / weights).max(LEAST);
        match connect(address, share) {
            Ok(stream) => return Ok(stream),
            Err(e) if is_timeout(&e) && deadline.has_passed() => return Err(ureq::Error::Timeout(reason)),
            // No other address would succeed.
            Err(e) if is_shortage(&e) => return Err(e.into()),
            Err(e) if failed.as_ref().is_some_and(|earlier| tells(earlier) >= tells(&e)) => {}
            Err(e) => failed = Some(e),
        }
    }
    Err(match failed {
        None => ureq::Error::ConnectionFailed,
        Some(e) if is_timeout(&e) => ureq::Error::Timeout(Timeout::Connect),
        Some(e) => e.into(),
    })
}

/// Rates how much a failure says about the server: most if the server answered, nothing if this machine cannot use such an address.
fn tells(error: &io::Error) -> u8 {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused | Kind::ConnectionReset | Kind::ConnectionAborted => 4,
        _ if is_timeout(error) => 3,
        Kind::HostUnreachable | Kind::PermissionDenied => 2,
        Kind::NetworkUnreachable | Kind::NetworkDown => 1,
        _ => 0,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn most_informative_failure_of_several_addresses_is_reported() {
        const REFUSED: i32 = 111;
        const TIMED_OUT: i32 = 110;
        const HOST: i32 = 113;
        const NETWORK: i32 = 101;
        const NO_ADDRESS: i32 = 99;
        const NO_FAMILY: i32 = 97;
        const FORBIDDEN: i32 = 13;
        const TOO_MANY: i32 = 24;
        for (outcomes, expected) in [
            (&[REFUSED, NO_ADDRESS][..], REFUSED),
            (&[NO_ADDRESS, REFUSED], REFUSED),
            (&[NO_FAMILY, REFUSED], REFUSED),
            (&[FORBIDDEN, REFUSED], REFUSED),
            (&[NETWORK, HOST, NO_FAMILY], HOST),
            (&[TIMED_OUT, NETWORK], TIMED_OUT),
            (&[NETWORK, TIMED_OUT, REFUSED], REFUSED),
            (&[NO_FAMILY, NETWORK], NETWORK),
            (&[NO_FAMILY, FORBIDDEN], FORBIDDEN),
            (&[NO_FAMILY], NO_FAMILY),
            (&[NO_ADDRESS, 0], 0),
            (&[NO_FAMILY, 0], 0),
            (&[FORBIDDEN, 0], 0),
            (&[22, 0], 0),
            (&[TIMED_OUT, 0], 0),
            // Another address would need a socket too.
            (&[TOO_MANY, 0], TOO_MANY),
        ] {
            let addresses: Vec<_> = outcomes.iter().map(|_| SocketAddr::from(([192, 0, 2, 1], 1))).collect();
            let mut left = outcomes.iter();
            let deadline = Deadline::after(Duration::from_secs(60));
            let outcome = first_of(&addresses, deadline, Timeout::Global, |_, _| match left.next() {
                Some(0) => Ok(()),
                Some(&number) => Err(io::Error::from_raw_os_error(number)),
                None => panic!("more addresses than there are"),
            });
            let number = match outcome {
                Ok(()) => 0,
                Err(ureq::Error::Io(e)) => e.raw_os_error().unwrap(),
                Err(ureq::Error::Timeout(Timeout::Connect)) => TIMED_OUT,
                Err(e) => panic!("{e:?}"),
            };
            assert_eq!(number, expected, "{outcomes:?}");
        }
    }
}
