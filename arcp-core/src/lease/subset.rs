//! Whether a child's authority is within its parent's (§9.4, §10).

use std::collections::BTreeMap;

use serde::Serialize;

use super::covers::Work;
use super::{Authority, Namespace};
use crate::money::{Amount, Currency};
use crate::{Code, Error, Json};

/// What a lease without `model.use` means in this deployment (§9.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ModelUse {
    /// No models: a child of such a job may name none.
    #[default]
    Required,
    /// Any registered model: naming some narrows that.
    Optional,
}

/// Checks grants, then the budget against what is left of the parent's, then the end.
pub(super) fn check(
    parent: &Authority,
    child: &Authority,
    remaining: &BTreeMap<Currency, Amount>,
    models: ModelUse,
) -> Result<(), Error> {
    let mut work = Work::default();
    for (namespace, patterns) in &child.grants {
        let unnamed = !parent.grants.contains_key(namespace);
        if *namespace == Namespace::ModelUse && models == ModelUse::Optional && unnamed {
            continue;
        }
        let own = parent.grants(namespace);
        for pattern in patterns.as_slice() {
            // Whole leases are passed on as they are: that takes no proof.
            let same = own.iter().any(|own| own.as_str() == pattern.as_str());
            if !same && !own.iter().any(|own| own.covers_within(pattern, &mut work)) {
                let rule = "no grant of the delegating job provably covers it";
                return Err(violation(namespace.as_str(), pattern.as_str(), rule));
            }
        }
    }
    for (currency, amount) in &child.budget {
        // A job without any budget is bounded by none; with one, only in its own currencies.
        let enough = match remaining.get(currency) {
            Some(left) => amount <= left,
            None => remaining.is_empty() && parent.budget.is_empty(),
        };
        if !enough {
            let pattern = format!("{}:{amount}", currency.as_str());
            let rule = "it is more than the delegating job has left";
            return Err(violation(Namespace::CostBudget.as_str(), &pattern, rule));
        }
    }
    match (child.expires_at, parent.expires_at) {
        (Some(child), Some(parent)) if child > parent => {
            let rule = "it is later than the end of the delegating job's lease";
            Err(violation("lease_constraints.expires_at", &child.to_string(), rule))
        }
        _ => Ok(()),
    }
}

fn violation(namespace: &str, pattern: &str, rule: &str) -> Error {
    #[derive(Serialize)]
    struct Details<'a> {
        namespace: &'a str,
        pattern: &'a str,
        rule: &'a str,
    }
    let error = Error::new(Code::LeaseSubsetViolation, format!("{namespace} {pattern}: {rule}"));
    let details = Json::of(&Details { namespace, pattern, rule });
    details.into_iter().fold(error, Error::with_details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    fn authority(json: &str) -> Authority {
        Authority::new(&serde_json::from_str(json).unwrap(), None).unwrap()
    }

    fn violated(parent: &str, child: &str, left: &[(&str, &str)]) -> Option<String> {
        let left = left
            .iter()
            .map(|(currency, amount)| (currency.parse().unwrap(), Amount::parse_number(amount).unwrap()));
        let refused =
            authority(parent).covers(&authority(child), &left.collect(), ModelUse::Required).err()?;
        assert_eq!(refused.code(), Code::LeaseSubsetViolation);
        Some(refused.details().unwrap().as_str().to_owned())
    }

    #[test]
    fn each_pattern_of_a_child_is_covered_by_one_of_its_parent() {
        let parent = r#"{"fs.read":["/ws/**","/etc/hosts"],"tool.call":["search.*"]}"#;
        for within in ["{}", parent, r#"{"fs.read":["/etc/hosts","/ws/a/*"]}"#, r#"{"fs.write":[]}"#] {
            assert_eq!(violated(parent, within, &[]), None, "{within}");
        }
        let refused = violated(parent, r#"{"fs.read":["/ws/a","/etc/*"]}"#, &[]).unwrap();
        assert!(refused.starts_with(r#"{"namespace":"fs.read","pattern":"/etc/*""#), "{refused}");
        for beyond in [r#"{"fs.write":["/ws/a"]}"#, r#"{"tool.call":["*"]}"#, r#"{"x-vendor.a":["b"]}"#] {
            assert!(violated(parent, beyond, &[]).is_some(), "{beyond}");
        }
    }

    #[test]
    fn t92_a_childs_budget_is_within_what_is_left() {
        let parent = r#"{"cost.budget":["USD:5.00"]}"#;
        let budget = |amount, left| violated(parent, amount, &[("USD", left)]);
        assert_eq!(budget(r#"{"cost.budget":["USD:2.00"]}"#, "2"), None);
        assert_eq!(budget("{}", "-1"), None);
        let refused = budget(r#"{"cost.budget":["USD:2.01"]}"#, "2").unwrap();
        assert!(refused.starts_with(r#"{"namespace":"cost.budget","pattern":"USD:2.01""#), "{refused}");
        assert!(budget(r#"{"cost.budget":["USD:0"]}"#, "-1").is_some());
        assert!(budget(r#"{"cost.budget":["EUR:1"]}"#, "2").is_some());
        assert_eq!(violated("{}", r#"{"cost.budget":["EUR:1"]}"#, &[]), None);
    }

    #[test]
    fn a_childs_models_are_its_parents_unless_the_deployment_asks_for_none() {
        let covers = |parent, child, models| {
            authority(parent).covers(&authority(child), &BTreeMap::new(), models).is_ok()
        };
        let child = r#"{"model.use":["tier-fast/*"]}"#;
        assert!(!covers("{}", child, ModelUse::Required));
        assert!(covers("{}", child, ModelUse::Optional));
        for models in [ModelUse::Required, ModelUse::Optional] {
            assert!(covers(r#"{"model.use":["tier-*/*"]}"#, child, models));
            assert!(!covers(r#"{"model.use":["tier-slow/*"]}"#, child, models));
            assert!(!covers(r#"{"model.use":[]}"#, child, models));
        }
    }

    #[test]
    fn t93_a_child_does_not_outlive_its_parent() {
        let ends =
            |at: Option<i64>| Authority::new(&super::super::Lease::default(), at.map(Timestamp::from_millis));
        let covers = |parent, child| {
            ends(parent).unwrap().covers(&ends(child).unwrap(), &BTreeMap::new(), ModelUse::Required)
        };
        for (parent, child) in [(None, None), (None, Some(9)), (Some(5), None), (Some(5), Some(5))] {
            assert_eq!(covers(parent, child), Ok(()), "{parent:?} {child:?}");
        }
        let refused = covers(Some(5), Some(6)).unwrap_err();
        assert_eq!(refused.code(), Code::LeaseSubsetViolation);
        assert!(refused.message().starts_with("lease_constraints.expires_at 1970-01-01T00:00:00.006Z"));
    }
}
