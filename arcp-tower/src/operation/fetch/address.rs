//! Which addresses may be reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(a: u16, b: u16, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), bits)
}

/// What is no public IPv4 address (RFC 6890 and its registry).
const NOT_PUBLIC_V4: &[Ipv4Net] = &[
    v4(0, 0, 0, 0, 8),       // this network; connecting to it reaches the own host
    v4(10, 0, 0, 0, 8),      // private
    v4(100, 64, 0, 0, 10),   // shared by carriers
    v4(127, 0, 0, 0, 8),     // loopback
    v4(169, 254, 0, 0, 16),  // link-local, the metadata of clouds
    v4(172, 16, 0, 0, 12),   // private
    v4(192, 0, 0, 0, 24),    // protocol assignments
    v4(192, 0, 2, 0, 24),    // documentation
    v4(192, 88, 99, 0, 24),  // relays of 6to4
    v4(192, 168, 0, 0, 16),  // private
    v4(198, 18, 0, 0, 15),   // measurements
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
    v4(224, 0, 0, 0, 4),     // multicast
    v4(240, 0, 0, 0, 4),     // reserved, broadcast
];

/// Where public IPv6 addresses are. Loopback, mapped and translated IPv4, unique-local, link-local and
/// multicast addresses are outside.
const PUBLIC_V6: Ipv6Net = v6(0x2000, 0, 3);

/// What is in [`PUBLIC_V6`] and yet not public.
const NOT_PUBLIC_V6: &[Ipv6Net] = &[
    v6(0x2001, 0, 23),     // protocol assignments, Teredo: IPv4 inside
    v6(0x2001, 0xdb8, 32), // documentation
    v6(0x2002, 0, 16),     // 6to4: IPv4 inside
    v6(0x3fff, 0, 20),     // documentation
];

/// What [`allow_private`](super::FetcherBuilder::allow_private) opens.
const PRIVATE: &[IpNet] = &[
    IpNet::V4(v4(10, 0, 0, 0, 8)),
    IpNet::V4(v4(100, 64, 0, 0, 10)),
    IpNet::V4(v4(127, 0, 0, 0, 8)),
    IpNet::V4(v4(172, 16, 0, 0, 12)),
    IpNet::V4(v4(192, 168, 0, 0, 16)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
    IpNet::V6(v6(0xfc00, 0, 7)),
];

/// The public addresses, and those of networks that the operator allowed.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses {
    allowed: Vec<IpNet>,
}

impl Addresses {
    pub(super) fn allow(&mut self, network: IpNet) {
        self.allowed.push(network);
    }

    pub(super) fn allow_private(&mut self) {
        self.allowed.extend_from_slice(PRIVATE);
    }

    /// Whether a connection to `address` may be opened.
    pub(super) fn allow_to(&self, address: IpAddr) -> bool {
        public(address) || self.allowed.iter().any(|network| network.contains(&address))
    }
}

fn public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            PUBLIC_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|network| network.contains(&address))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed(addresses: &Addresses, text: &str) -> bool {
        addresses.allow_to(text.parse().unwrap())
    }

    /// Addresses that are refused whatever is private.
    const NEVER: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::a00:1",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "5f00::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];

    const PRIVATE: &[&str] = &[
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "::1",
        "fc00::1",
        "fd12:3456::1",
    ];

    const PUBLIC: &[&str] = &[
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.0.0.1",
        "128.0.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "192.167.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2001:4860:4860::8888",
        "2a00:1450::1",
    ];

    #[test]
    fn only_public_addresses_are_reached_unless_the_operator_says_otherwise() {
        let addresses = Addresses::default();
        for text in PUBLIC {
            assert!(allowed(&addresses, text), "{text}");
        }
        for text in NEVER.iter().chain(PRIVATE) {
            assert!(!allowed(&addresses, text), "{text}");
        }
    }

    #[test]
    fn private_networks_can_be_allowed_and_the_metadata_of_clouds_stays_out() {
        let mut addresses = Addresses::default();
        addresses.allow_private();
        for text in PUBLIC.iter().chain(PRIVATE) {
            assert!(allowed(&addresses, text), "{text}");
        }
        for text in NEVER {
            assert!(!allowed(&addresses, text), "{text}");
        }
    }

    #[test]
    fn one_allowed_network_opens_that_network_and_no_other() {
        let mut addresses = Addresses::default();
        addresses.allow("10.1.0.0/16".parse().unwrap());
        assert!(allowed(&addresses, "10.1.2.3") && allowed(&addresses, "8.8.8.8"));
        for text in ["10.2.0.1", "10.0.255.255", "127.0.0.1", "::ffff:10.1.2.3", "64:ff9b::a01:203"] {
            assert!(!allowed(&addresses, text), "{text}");
        }
    }

    proptest! {
        /// An IPv6 address that only carries an IPv4 one is never a way around the rules for it.
        #[test]
        fn no_ipv4_address_is_reached_inside_an_ipv6_address(bits: u32) {
            let v4 = u128::from(bits);
            let mut addresses = Addresses::default();
            addresses.allow_private();
            for prefix in [0xffff_u128 << 32, 0xffff << 48, 0x0064_ff9b << 96, 0x0064_ff9b_0001 << 80] {
                prop_assert!(!addresses.allow_to(Ipv6Addr::from_bits(prefix | v4).into()));
            }
            prop_assert!(!addresses.allow_to(Ipv6Addr::from_bits((0x2002 << 112) | (v4 << 80) | 1).into()));
        }
    }
}
