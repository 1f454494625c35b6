//! Exact money (§9.6): decimals of at most 28 digits, never rounded, never a float.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An exact amount without its currency. It may be negative: an overspent counter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(Decimal);

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAmount {
    /// Not of the form `digits[.digits]`.
    #[error("must be digits, optionally with a point and more digits")]
    Form,
    /// More digits than can be kept exactly.
    #[error("must have at most 28 significant digits")]
    Digits,
    /// Not of the form `currency:amount`.
    #[error("must be CURRENCY:AMOUNT, such as USD:5.00")]
    Currency,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Reads a budget's amount: digits with an optional fraction, no sign, no exponent.
    ///
    /// # Errors
    /// If it has another form, or more digits than can be kept.
    pub fn parse_budget(text: &str) -> Result<Self, InvalidAmount> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(InvalidAmount::Form);
        }
        let exact = Decimal::from_str_exact(text).map_err(|_| InvalidAmount::Digits)?;
        Self::kept(exact).ok_or(InvalidAmount::Digits)
    }

    /// `exact` if it has at most 28 digits: `Decimal` has room for some numbers of 29.
    fn kept(exact: Decimal) -> Option<Self> {
        const BOUND: u128 = 10_u128.pow(28);
        let amount = exact.normalize();
        (amount.mantissa().unsigned_abs() < BOUND).then_some(Self(amount))
    }

    /// Reads a metric's value from the number's own text, which may have a sign and an exponent.
    ///
    /// # Errors
    /// If it is no finite JSON number, or needs more digits than can be kept.
    pub fn parse_number(text: &str) -> Result<Self, InvalidAmount> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((m, e)) => (m, e.parse::<i32>().map_err(|_| InvalidAmount::Digits)?),
            None => (text, 0),
        };
        let (negative, digits) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let mut amount = Self::parse_budget(digits)?.0;
        let ten = Decimal::TEN;
        let zero = amount.is_zero();
        for _ in 0..exponent.unsigned_abs().min(64) {
            let next = if exponent > 0 { amount.checked_mul(ten) } else { amount.checked_div(ten) };
            let next = next.ok_or(InvalidAmount::Digits)?.normalize();
            // Division rounds where digits run out: multiplying back shows it.
            if exponent < 0 && next.checked_mul(ten).map(|n| n.normalize()) != Some(amount) {
                return Err(InvalidAmount::Digits);
            }
            amount = next;
        }
        if exponent.unsigned_abs() > 64 && !zero {
            return Err(InvalidAmount::Digits);
        }
        amount.set_sign_negative(negative && !zero);
        Self::kept(amount).ok_or(InvalidAmount::Digits)
    }

    /// The sum, if it can be kept exactly.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let sum = self.0.checked_add(other.0)?.normalize();
        // `Decimal` rounds when the scale runs out; taking either away again shows it.
        let back = |taken: Decimal, left: Decimal| sum.checked_sub(taken) == Some(left);
        if back(other.0, self.0) && back(self.0, other.0) { Self::kept(sum) } else { None }
    }

    /// The difference, if it can be kept exactly.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self(-other.0))
    }

    /// The difference; if that has more digits than can be kept, what is left when both are rounded against
    /// whoever spends, at the last place where there is room. `None` if there is none at all.
    pub fn checked_sub_down(self, other: Self) -> Option<Self> {
        use rust_decimal::RoundingStrategy::{ToNegativeInfinity, ToPositiveInfinity};
        let at = |places| {
            let left = Self(self.0.round_dp_with_strategy(places, ToNegativeInfinity));
            left.checked_sub(Self(other.0.round_dp_with_strategy(places, ToPositiveInfinity)))
        };
        self.checked_sub(other).or_else(|| (0..=Decimal::MAX_SCALE).rev().find_map(at))
    }

    /// Its distance from nothing.
    pub fn abs(self) -> Self {
        Self(self.0.abs())
    }

    /// Whether it is a hundredth of `whole`, or more.
    pub fn is_a_percent_of(self, whole: Self) -> bool {
        self.0.checked_mul(Decimal::ONE_HUNDRED).is_none_or(|hundred| hundred >= whole.0)
    }

    /// Whether there is less than nothing, or nothing, left.
    pub fn is_exhausted(self) -> bool {
        self.0 <= Decimal::ZERO
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.0 < Decimal::ZERO
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Amount {
    type Err = InvalidAmount;
    /// [`Amount::parse_budget`].
    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        Self::parse_budget(text)
    }
}

impl Serialize for Amount {
    /// A JSON number with all its digits; only `serde_json` can write it.
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let raw = serde_json::value::RawValue::from_string(self.0.to_string());
        raw.map_err(serde::ser::Error::custom)?.serialize(s)
    }
}

impl<'de> Deserialize<'de> for Amount {
    /// A JSON number, or a text with one: peers write budgets in both ways.
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(d)?;
        let text = raw.get().trim_matches('"');
        let text = text.rsplit_once(':').map_or(text, |(_, amount)| amount);
        Self::parse_number(text).map_err(serde::de::Error::custom)
    }
}

/// A currency: `USD`, `EUR`, `credits`, or one of the runtime's own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Currency(Arc<str>);

impl Currency {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Currency {
    type Err = InvalidAmount;
    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if text.is_empty() || text.len() > 32 || !text.bytes().all(ok) {
            return Err(InvalidAmount::Currency);
        }
        Ok(Self(text.into()))
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One pattern of `cost.budget`, such as `USD:5.00`.
///
/// # Errors
/// If it is not `currency:amount`.
pub fn parse_budget(text: &str) -> Result<(Currency, Amount), InvalidAmount> {
    let (currency, amount) = text.split_once(':').ok_or(InvalidAmount::Currency)?;
    Ok((currency.parse()?, Amount::parse_budget(amount)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_have_no_sign_no_exponent_and_no_rounding() {
        let (currency, amount) = parse_budget("USD:5.00").unwrap();
        assert_eq!((currency.as_str(), amount.to_string().as_str()), ("USD", "5"));
        for bad in [
            "USD:-1",
            "USD:1e9",
            "USD:NaN",
            "USD:",
            ":5",
            "USD:5:5",
            "USD:5.",
            "USD:.5",
            "USD:+5",
            "USD:99999999999999999999999999999999",
            "USD:12345678901234567890123456789",
            "USD:1.2345678901234567890123456789",
            "USD:0.00000000000000000000000000001",
            "USD:５",
            "5",
        ] {
            assert!(parse_budget(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_metric_value_may_have_an_exponent_but_loses_no_digit() {
        assert_eq!(Amount::parse_number("2.34e-2").unwrap().to_string(), "0.0234");
        assert_eq!(Amount::parse_number("-0").unwrap(), Amount::ZERO);
        assert_eq!(Amount::parse_number("1E3").unwrap().to_string(), "1000");
        for bad in ["1e400", "1e-29", "1e-30", "NaN", "", "1.5e", "12345678901234567890123456789e1"] {
            assert!(Amount::parse_number(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sums_are_exact_or_refused() {
        let a = Amount::parse_budget("0.1").unwrap();
        let b = Amount::parse_budget("0.2").unwrap();
        assert_eq!(a.checked_add(b).unwrap().to_string(), "0.3");
        let huge = Amount::parse_budget("9999999999999999999999999999").unwrap();
        let tiny = Amount::parse_budget("0.0000000000000000000000000001").unwrap();
        assert_eq!(huge.checked_add(tiny), None);
        assert!(a.checked_sub(b).unwrap().is_negative());
    }
}
