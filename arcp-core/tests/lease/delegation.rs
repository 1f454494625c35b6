//! Children of children: nobody ends up with more than anyone above.

use std::collections::BTreeMap;

use arcp_core::Timestamp;
use arcp_core::lease::{Authority, Lease, ModelUse, Namespace, Target};
use proptest::prelude::*;

use crate::cases;

fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![Just("**"), Just("*"), Just("a"), Just("b"), Just("a*"), Just("*b")];
    prop::collection::vec(segment, 1..4).prop_map(|segments| format!("/{}", segments.join("/")))
}

fn url() -> impl Strategy<Value = String> {
    let host = prop_oneof![Just("**"), Just("*.a"), Just("b.a"), Just("*"), Just("b*.a"), Just("1.2.3.4")];
    let query = prop_oneof![4 => Just(""), 1 => Just("?a*"), 1 => Just("?ab")];
    (any::<bool>(), host, path(), query).prop_map(|(secure, host, path, query)| {
        let scheme = if secure { "https" } else { "http" };
        format!("{scheme}://{host}{path}{query}")
    })
}

fn name() -> impl Strategy<Value = String> {
    path().prop_map(|path| path[1..].to_owned())
}

fn authority() -> impl Strategy<Value = Authority> {
    let some = |pattern: BoxedStrategy<String>| prop::collection::vec(pattern, 0..4);
    let grants = (some(path().boxed()), some(url().boxed()), some(name().boxed()), some(name().boxed()));
    (grants, prop::option::of(0..4_i64)).prop_map(|((paths, urls, tools, models), end)| {
        let lease = Lease(BTreeMap::from([
            (Namespace::FsRead, paths),
            (Namespace::NetFetch, urls),
            (Namespace::ToolCall, tools),
            (Namespace::ModelUse, models),
        ]));
        Authority::new(&lease, end.map(Timestamp::from_millis)).unwrap()
    })
}

/// What an operation might be about.
const TARGETS: [(Namespace, &[&str]); 4] = [
    (Namespace::FsRead, &["/", "/a", "/b", "/ab", "/a/b", "/aab/b", "/a/a/a", "/b/a/b", "/b/x/a/b"]),
    (
        Namespace::NetFetch,
        &[
            "http://b.a/a",
            "https://b.a/a?ab",
            "https://bb.a/b/a",
            "http://1.2.3.4/a",
            "http://c/ab?x",
            "https://c.a/",
        ],
    ),
    (Namespace::ToolCall, &["a", "b", "ab", "a/b", "b/a/ab", "x", "x/b"]),
    (Namespace::ModelUse, &["a", "b", "ab", "a/b", "b/a/ab", "x", "x/b"]),
];

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn s34_no_descendant_may_do_what_an_ancestor_may_not(
        tree in prop::collection::vec(authority(), 2..12),
    ) {
        // Each one becomes the child of the last that covers it, so that chains grow long.
        let mut chain: Vec<Authority> = Vec::new();
        for wish in tree {
            let Some(parent) = chain.last() else {
                chain.push(wish);
                continue;
            };
            if parent.covers(&wish, &BTreeMap::new(), ModelUse::Required).is_ok() {
                chain.push(wish.within(parent));
            }
        }
        for (namespace, texts) in TARGETS {
            for text in texts {
                let target = Target::parse(&namespace, text).unwrap();
                let allowed: Vec<bool> =
                    chain.iter().map(|own| own.check(&namespace, &target).is_allowed()).collect();
                prop_assert!(allowed.is_sorted_by(|above, below| above >= below), "{} {:?}", text, allowed);
            }
        }
        let ends: Vec<i64> =
            chain.iter().map(|own| own.expires_at().map_or(i64::MAX, Timestamp::as_millis)).collect();
        prop_assert!(ends.is_sorted_by(|above, below| above >= below), "{:?}", ends);
    }

    #[test]
    fn a_job_may_pass_on_all_that_it_has(own in authority()) {
        prop_assert_eq!(own.covers(&own, &BTreeMap::new(), ModelUse::Required), Ok(()));
    }

    #[test]
    fn a_part_of_a_lease_may_be_passed_on_and_a_union_is_no_more_than_both(a in authority(), b in authority()) {
        let both = |namespace: &Namespace| {
            let of = |own: &Authority| own.grants(namespace).iter().map(|p| p.as_str().to_owned()).collect::<Vec<_>>();
            [of(&a), of(&b)].concat()
        };
        let union = Lease(TARGETS.map(|(namespace, _)| { let of = both(&namespace); (namespace, of) }).into());
        let union = Authority::new(&union, None).unwrap();
        for part in [&a, &b] {
            prop_assert_eq!(union.covers(part, &BTreeMap::new(), ModelUse::Required), Ok(()));
        }
    }
}
