//! What a metric charges (§9.6).

use crate::Json;
use crate::money::{Amount, Currency};

/// Why a metric's cost charges nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCharge {
    /// There is no unit, or it is no currency.
    #[error("the unit of a cost must be a currency")]
    Unit,
    /// The value is no number that can be kept exactly.
    #[error("the value of a cost must be a number of at most 28 digits")]
    Value,
    /// The value is negative.
    #[error("the value of a cost must not be negative")]
    Negative,
}

/// What a metric charges: `None` unless it is a cost, `cost.*` and not `cost.budget` (§9.6).
pub fn charge_of(
    name: &str,
    unit: Option<&str>,
    value: &Json,
) -> Option<Result<(Currency, Amount), NoCharge>> {
    let what = name.strip_prefix("cost.")?;
    if what == "budget" || what.starts_with("budget.") {
        return None;
    }
    Some(cost(unit, value))
}

fn cost(unit: Option<&str>, value: &Json) -> Result<(Currency, Amount), NoCharge> {
    let currency = unit.and_then(|unit| unit.parse().ok()).ok_or(NoCharge::Unit)?;
    let amount = Amount::parse_number(value.as_str().trim()).map_err(|_| NoCharge::Value)?;
    if amount.is_negative() { Err(NoCharge::Negative) } else { Ok((currency, amount)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd() -> Currency {
        "USD".parse().unwrap()
    }

    fn amount(text: &str) -> Amount {
        Amount::parse_number(text).unwrap()
    }

    #[test]
    fn t97_costs_charge_and_budget_metrics_do_not() {
        let charge = |name, unit, value: &'static str| charge_of(name, unit, &Json::parse(value).unwrap());
        assert_eq!(charge("cost.inference", Some("USD"), "0.0234"), Some(Ok((usd(), amount("0.0234")))));
        assert_eq!(charge("cost.budgets", Some("USD"), "1e1"), Some(Ok((usd(), amount("10")))));
        for free in ["cost", "costs.x", "latency", "cost.budget", "cost.budget.remaining", "Cost.x"] {
            assert_eq!(charge(free, Some("USD"), "1"), None, "{free}");
        }
        assert_eq!(charge("cost.x", None, "1"), Some(Err(NoCharge::Unit)));
        assert_eq!(charge("cost.", Some("a b"), "1"), Some(Err(NoCharge::Unit)));
        assert_eq!(charge("cost.x", Some("USD"), "-1e-9"), Some(Err(NoCharge::Negative)));
        for value in ["1e400", "1e-30", "\"1\"", "null", "[1]", "12345678901234567890123456789"] {
            assert_eq!(charge("cost.x", Some("USD"), value), Some(Err(NoCharge::Value)), "{value}");
        }
    }
}
