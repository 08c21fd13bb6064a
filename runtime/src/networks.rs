//! How many connections the callers of one network may have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;

/// Which peers share a bound on their connections.
#[derive(Debug, Clone)]
pub enum Peers {
    /// None.
    Unbounded,
    /// Those of one network: an IPv4 /24, an IPv6 /56.
    ByNetwork {
        /// Connections of one network.
        most: usize,
        /// Reverse proxies, which come for others. So does whatever runs on this machine.
        proxies: Arc<[IpNet]>,
    },
}

/// The connections of each network.
#[derive(Debug, Clone)]
pub(crate) struct Networks {
    peers: Peers,
    // At most as many entries as there are connections.
    open: Arc<Mutex<HashMap<IpNet, usize>>>,
}

/// One connection's place among those of its network, until dropped.
#[derive(Debug)]
pub(crate) struct Place(Option<(Networks, IpNet)>);

impl Networks {
    pub(crate) fn new(peers: Peers) -> Self {
        Self { peers, open: Arc::default() }
    }

    /// A place for a connection of this peer; `None` when its network has all that it may have.
    pub(crate) fn enter(&self, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        let Peers::ByNetwork { most, proxies } = &self.peers else { return Some(Place(None)) };
        if peer.is_loopback() || proxies.iter().any(|net| net.contains(&peer)) {
            return Some(Place(None));
        }
        let network = network(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_default();
        if *count >= *most {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Place(Some((self.clone(), network))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((networks, network)) = self.0.take() else { return };
        let mut open = networks.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&network);
            }
        }
    }
}

fn network(peer: IpAddr) -> IpNet {
    let length = if peer.is_ipv4() { 24 } else { 56 };
    // The lengths fit their kinds of address.
    IpNet::new(peer, length).map_or(IpNet::from(peer), |net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_share_and_no_more() {
        let proxies = ["192.0.2.0/28".parse().unwrap()].into();
        let networks = Networks::new(Peers::ByNetwork { most: 2, proxies });
        let enter = |peer: &str| networks.enter(peer.parse().unwrap());
        let places = [enter("198.51.100.1"), enter("::ffff:198.51.100.2")];
        assert!(places.iter().all(Option::is_some));
        assert!(enter("198.51.100.250").is_none(), "the same /24");
        assert!(enter("198.51.101.1").is_some(), "another");
        let v6 = [enter("2001:db8:0:aa01::1"), enter("2001:db8:0:aaff::2")];
        assert!(v6.iter().all(Option::is_some) && enter("2001:db8:0:aa77::3").is_none(), "the same /56");
        assert!(enter("2001:db8:0:ab00::1").is_some(), "another");
        for many in ["127.0.0.1", "::1", "192.0.2.7", "192.0.2.7", "192.0.2.7"] {
            std::mem::forget(enter(many).unwrap());
        }
        drop(places);
        assert!(enter("198.51.100.250").is_some(), "its places are free again");
        drop(v6);
        assert!(networks.open.lock().unwrap().is_empty());
    }
}
