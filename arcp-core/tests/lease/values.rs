//! Budgets, costs and times that are not quite what they should be.

use arcp_core::lease::LeaseConstraints;
use arcp_core::money::{Amount, parse_budget};
use arcp_core::{Code, Timestamp};

use crate::attacks::refused;

#[test]
fn bad_input_31_s35_a_budget_is_digits_and_nothing_else() {
    for bad in [
        "USD:-1",
        "USD:+1",
        "USD:1e9",
        "USD:1e400",
        "USD:NaN",
        "USD:Infinity",
        "USD:-0",
        "USD:0x10",
        "USD:",
        ":5",
        "5",
        "USD 5",
        "USD:5:5",
        "USD:5.",
        "USD:.5",
        "USD:1_000",
        "USD:1,000",
        "USD: 5",
        "USD:5 ",
        "USD:５",
        "USD:٣",
        "US D:5",
        "USD\u{200b}:5",
        "USD:12345678901234567890123456789",
        "USD:0.00000000000000000000000000001",
        "USD:99999999999999999999999999999999",
    ] {
        assert!(parse_budget(bad).is_err(), "{bad}");
        refused(&serde_json::json!({ "cost.budget": [bad] }).to_string(), "cost.budget");
    }
    refused(r#"{"cost.budget":["USD:5.00","USD:1.00"]}"#, "cost.budget");
    refused(r#"{"cost.budget":["USD:5.00","USD:5.00"]}"#, "cost.budget");
    for good in [
        "USD:0",
        "usd:5",
        "credits:1000",
        "x-acme.tokens:0.0000000000000001",
        "EUR:9999999999999999999999999999",
    ] {
        assert!(parse_budget(good).is_ok(), "{good}");
    }
}

#[test]
fn bad_input_42_s36_a_costs_value_is_exact_or_it_is_none() {
    for bad in
        ["1e400", "-1e400", "1e-29", "NaN", "nan", "Infinity", "0x1", "", "12345678901234567890123456789"]
    {
        assert!(Amount::parse_number(bad).is_err(), "{bad}");
    }
    assert_eq!(Amount::parse_number("-0"), Ok(Amount::ZERO));
    assert_eq!(Amount::parse_number("-0.0e5"), Ok(Amount::ZERO));
}

#[test]
fn bad_input_32_t102_an_end_is_in_the_future_and_in_utc_with_z() {
    let now = Timestamp::parse("2026-06-30T23:59:59Z").unwrap();
    let ends = |text: &str| {
        let json = serde_json::json!({ "expires_at": text });
        serde_json::from_value::<LeaseConstraints>(json).unwrap().effective(now)
    };
    for bad in [
        "2026-06-30T23:59:59Z",
        "2026-06-30T23:59:58.999Z",
        "1970-01-01T00:00:00Z",
        "2026-07-01T00:00:00",
        "2026-07-01T02:00:00+02:00",
        "2026-07-01T00:00:00+00:00",
        "2026-07-01T00:00:00-00:00",
        "2026-07-01T00:00:00z",
        "2026-06-30T23:59:60Z",
        "2026-12-31T23:59:60.5Z",
        "2026-02-30T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "1800000000",
        "tomorrow",
        "",
    ] {
        let refused = ends(bad).expect_err(bad);
        assert_eq!(refused.code(), Code::InvalidRequest, "{bad}");
        assert!(refused.message().contains("expires_at"), "{refused}");
    }
    for good in ["2026-06-30T23:59:59.001Z", "2026-07-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
        assert!(ends(good).is_ok(), "{good}");
    }
    assert!(serde_json::from_str::<LeaseConstraints>(r#"{"expires_at":1800000000}"#).is_err());
}
