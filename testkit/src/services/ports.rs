use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Below the ports that systems hand to outgoing connections. With one of those, a client that keeps dialling a
/// service which is down ends up talking to itself, and the service cannot come back to its own port.
const FIRST: u32 = 16_384;
const COUNT: u32 = 16_384;

/// How far apart processes begin to look: more ports than one process needs.
const STRIDE: u32 = 61;

/// A loopback port that nobody uses, handed out once by this process, and not one of those used for outgoing
/// connections: whoever gets it may stop listening and come back later.
///
/// # Errors
/// When every port is taken.
pub fn free_port() -> io::Result<u16> {
    static HANDED_OUT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        let step = HANDED_OUT.fetch_add(1, Ordering::Relaxed);
        let offset = process::id().wrapping_mul(STRIDE).wrapping_add(step) % COUNT;
        let Ok(port) = u16::try_from(FIRST + offset) else { continue };
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no free loopback port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_twice_and_none_for_outgoing_connections() {
        let mut ports: Vec<_> = (0..50).map(|_| free_port().unwrap()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| (16_384..32_768).contains(port)));
    }

    #[test]
    fn skips_what_is_taken() {
        let listeners: Vec<_> = (0..20)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, free_port().unwrap())).unwrap())
            .collect();
        assert_eq!(listeners.len(), 20);
    }
}
