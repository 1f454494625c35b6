//! Wall-clock time on the wire: `YYYY-MM-DDTHH:MM:SS.mmmZ`.

use std::fmt;
use std::time::{Duration, SystemTime};

use jiff::civil::{Date, date};
use jiff::fmt::temporal::Pieces;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in milliseconds since 1970 (UTC), within the years 1 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const EPOCH: Date = date(1970, 1, 1);
const MIN: i64 = -62_135_596_800_000;
const MAX: i64 = 253_402_300_799_999;

impl Timestamp {
    /// From milliseconds since 1970; what lies outside the years 1 to 9999 is brought to their end.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(MIN, MAX))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// This time and `after`.
    pub fn plus(self, after: Duration) -> Self {
        let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Reads a timestamp as peers write them: RFC 3339 with any offset, or with none missing.
    ///
    /// # Errors
    /// If it is no such text.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        // In pieces: `jiff::Timestamp` ends a day before the year 9999 does.
        let pieces = Pieces::parse(text).map_err(|_| InvalidTimestamp)?;
        let time = pieces.time().ok_or(InvalidTimestamp)?;
        let offset = pieces.to_numeric_offset().ok_or(InvalidTimestamp)?;
        let days = EPOCH.until(pieces.date()).map_err(|_| InvalidTimestamp)?.get_days();
        let seconds = i64::from(days) * 86_400
            + i64::from(time.hour()) * 3600
            + i64::from(time.minute()) * 60
            + i64::from(time.second())
            - i64::from(offset.seconds());
        Ok(Self::from_millis(seconds * 1000 + i64::from(time.millisecond())))
    }

    /// Reads a timestamp that must be in UTC and say so with `Z` (§9.5).
    ///
    /// # Errors
    /// If it is anything else: another offset, local time, a leap second, a lower-case `z`.
    pub fn parse_utc(text: &str) -> Result<Self, InvalidTimestamp> {
        let bytes = text.as_bytes();
        let leap = bytes.get(17..19) == Some(b"60");
        if !text.ends_with('Z') || bytes.get(10) != Some(&b'T') || leap {
            return Err(InvalidTimestamp);
        }
        Self::parse(text)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        let millis = match at.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(MIN, |ms| -ms),
        };
        Self::from_millis(millis)
    }
}

/// Why a text is no timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an RFC 3339 time in UTC, such as 2026-05-13T19:42:13.000Z")]
pub struct InvalidTimestamp;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, in_day) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let date = EPOCH.checked_add(jiff::Span::new().days(days)).unwrap_or(EPOCH);
        let (s, ms) = (in_day / 1000, in_day % 1000);
        let (hour, minute, second) = (s / 3600, s / 60 % 60, s % 60);
        let mut out = *b"0000-00-00T00:00:00.000Z";
        let mut put = |at: usize, width: usize, value: i64| {
            let mut rest = value;
            for i in (at..at + width).rev() {
                out[i] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
        };
        put(0, 4, date.year().into());
        put(5, 2, date.month().into());
        put(8, 2, date.day().into());
        put(11, 2, hour);
        put(14, 2, minute);
        put(17, 2, second);
        put(20, 3, ms);
        f.write_str(std::str::from_utf8(&out).unwrap_or_default())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_written_with_milliseconds_and_z() {
        assert_eq!(Timestamp::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::from_millis(MIN).to_string(), "0001-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(i64::MIN), Timestamp::from_millis(MIN));
    }

    #[test]
    fn utc_must_be_said_with_a_capital_z() {
        assert!(Timestamp::parse_utc("2026-05-13T23:42:00Z").is_ok());
        for bad in [
            "2026-05-13T23:42:00+00:00",
            "2026-05-13T23:42:00z",
            "2026-05-13 23:42:00Z",
            "2026-05-13T23:42:60Z",
            "2026-05-13T23:42:00",
            "2026-05-13",
            "",
        ] {
            assert!(Timestamp::parse_utc(bad).is_err(), "{bad}");
        }
        assert!(Timestamp::parse("2026-05-13T23:42:00+02:00").is_ok());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(ms in MIN..=MAX) {
            let at = Timestamp::from_millis(ms);
            prop_assert_eq!(Timestamp::parse_utc(&at.to_string()), Ok(at));
        }
    }
}
