//! Counters against whole numbers, to the last digit.

use arcp_core::lease::{Budget, Charged, Hold, Snapshot};
use arcp_core::money::{Amount, Currency};
use proptest::prelude::*;

use crate::cases;

/// Units of 1e-9: what the model counts in.
const UNIT: i128 = 1_000_000_000;

#[derive(Debug, Clone)]
enum Step {
    Charge(i128),
    Reserve(i128),
    /// Ends one of the open reservations.
    Settle(prop::sample::Index, i128),
    Release(prop::sample::Index),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let amount = || prop_oneof![Just(0), 1..10_i128, -UNIT..3 * UNIT];
    prop_oneof![
        4 => amount().prop_map(Step::Charge),
        4 => amount().prop_map(Step::Reserve),
        3 => (any::<prop::sample::Index>(), amount()).prop_map(|(which, spent)| Step::Settle(which, spent)),
        1 => any::<prop::sample::Index>().prop_map(Step::Release),
        1 => Just(Step::Restart),
    ]
}

fn amount(units: i128) -> Amount {
    let (whole, part) = (units.abs() / UNIT, units.abs() % UNIT);
    let sign = if units < 0 { "-" } else { "" };
    Amount::parse_number(&format!("{sign}{whole}.{part:09}")).unwrap()
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn s35_counters_agree_with_whole_numbers(limit in 0..20 * UNIT, steps in prop::collection::vec(step(), 0..40)) {
        let usd: Currency = "USD".parse().unwrap();
        let mut budget = Budget::new([(usd.clone(), amount(limit))].into());
        let (mut remaining, mut open) = (limit, Vec::<(i128, Hold)>::new());
        for step in steps {
            let reserved: i128 = open.iter().map(|(part, _)| part).sum();
            match step {
                Step::Charge(cost) => {
                    let charged = budget.charge(&usd, amount(cost));
                    remaining -= cost.max(0);
                    let taken = Charged::Taken { remaining: amount(remaining) };
                    prop_assert_eq!(charged, if cost > 0 { taken } else { Charged::Nothing });
                }
                Step::Reserve(part) => {
                    let fits = 0 <= part && part <= remaining - reserved;
                    let held = budget.reserve(&usd, amount(part)).ok();
                    prop_assert_eq!(held.is_some(), fits);
                    open.extend(held.map(|hold| (part, hold)));
                }
                Step::Settle(which, spent) if !open.is_empty() => {
                    let (_, hold) = open.swap_remove(which.index(open.len()));
                    budget.settle(hold, amount(spent));
                    remaining -= spent.max(0);
                }
                Step::Release(which) if !open.is_empty() => {
                    let (part, hold) = open.swap_remove(which.index(open.len()));
                    prop_assert_eq!(hold.amount(), amount(part));
                    budget.release(hold);
                }
                Step::Settle(..) | Step::Release(_) => {}
                Step::Restart => {
                    let kept = serde_json::to_string(&budget.snapshot()).unwrap();
                    budget = serde_json::from_str::<Snapshot>(&kept).unwrap().into();
                    remaining -= reserved;
                    open.clear();
                }
            }
            let left = remaining - open.iter().map(|(part, _)| part).sum::<i128>();
            prop_assert_eq!(budget.remaining(&usd), Some(amount(remaining)));
            prop_assert_eq!(budget.available(&usd), Some(amount(left)));
            prop_assert_eq!(budget.spent(&usd), Some(amount(limit - remaining)));
            prop_assert_eq!(budget.check().is_ok(), remaining > 0);
        }
    }
}
