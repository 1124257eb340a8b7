//! Value of the digits of a quantity with its suffix, in billionths.

use super::{MAX_LENGTH, NANOS, NotAQuantity};

/// Multiplier of a suffix.
pub(super) enum Scale {
    Binary { kibis: u32 },
    Decimal { exponent: i32 },
}

impl Scale {
    pub(super) fn parse(suffix: &str) -> Result<Self, NotAQuantity> {
        let decimal = |exponent| Ok(Self::Decimal { exponent });
        let binary = |kibis| Ok(Self::Binary { kibis });
        match suffix {
            "" => decimal(0),
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(1),
            "Mi" => binary(2),
            "Gi" => binary(3),
            "Ti" => binary(4),
            "Pi" => binary(5),
            "Ei" => binary(6),
            _ => {
                let exponent =
                    suffix.strip_prefix(['e', 'E']).and_then(|text| text.parse::<i32>().ok()).ok_or(NotAQuantity)?;
                decimal(exponent)
            }
        }
    }

    /// Returns the number in billionths; `None` if that needs digits one by one: for fractions of a billionth and for
    /// large numbers.
    pub(super) fn apply_to_integer(&self, number: u32) -> Option<i128> {
        let factor = match *self {
            Self::Binary { kibis: kibis @ 0..=3 } => NANOS << (10 * kibis),
            Self::Decimal { exponent: exponent @ -9..=9 } => 10_i128.pow(u32::try_from(exponent + 9).ok()?),
            _ => return None,
        };
        Some(i128::from(number) * factor)
    }

    /// Returns the number in billionths, rounded up and capped at 2⁶³-1 units. `decimals` of its digits follow the
    /// decimal point.
    pub(super) fn apply(&self, mut digits: Digits, decimals: i64) -> i128 {
        const CAP: i128 = i64::MAX as i128 * NANOS;
        /// Number of digits of the cap.
        const CAP_DIGITS: i64 = 28;
        let exponent = match *self {
            Self::Binary { kibis } => {
                (0..kibis).for_each(|_| digits.multiply_by_1024());
                0
            }
            Self::Decimal { exponent } => i64::from(exponent),
        };
        let digits = digits.significant();
        if digits.is_empty() {
            return 0;
        }
        // Number of digits before the decimal point, once the number is expressed in billionths.
        let Ok(length) = i64::try_from(digits.len()) else { return CAP };
        let whole = length + exponent + 9 - decimals;
        if whole > CAP_DIGITS {
            return CAP;
        }
        let Ok(whole) = usize::try_from(whole) else { return 1 };
        let value = (0..whole).fold(0, |value, i| value * 10 + i128::from(digits.get(i).copied().unwrap_or(0)));
        let rest = digits.iter().skip(whole).any(|digit| *digit != 0);
        (value + i128::from(rest)).min(CAP)
    }
}

/// Decimal digits of a number, in place: a review parses quantities often.
pub(super) struct Digits {
    all: [u8; MAX_DIGITS],
    begin: usize,
    end: usize,
}

/// Digits of the largest factor, 1024⁶.
const FACTOR_DIGITS: usize = 19;
const MAX_DIGITS: usize = FACTOR_DIGITS + MAX_LENGTH;

impl Digits {
    /// Collects at most [`MAX_LENGTH`] digits.
    fn new(digits: impl Iterator<Item = u8>) -> Self {
        let mut all = [0; MAX_DIGITS];
        let mut end = FACTOR_DIGITS;
        for (place, digit) in all[FACTOR_DIGITS..].iter_mut().zip(digits) {
            *place = digit;
            end += 1;
        }
        Self { all, begin: FACTOR_DIGITS, end }
    }

    fn multiply_by_1024(&mut self) {
        let last_digit = |sum: u16| u8::try_from(sum % 10).unwrap_or_default();
        let mut carry = 0_u16;
        for digit in self.all[self.begin..self.end].iter_mut().rev() {
            let sum = carry + u16::from(*digit) * 1024;
            *digit = last_digit(sum);
            carry = sum / 10;
        }
        while carry > 0 {
            self.begin -= 1;
            self.all[self.begin] = last_digit(carry);
            carry /= 10;
        }
    }

    /// Returns the digits without leading zeros.
    fn significant(&self) -> &[u8] {
        let digits = &self.all[self.begin..self.end];
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        &digits[zeros..]
    }
}

/// Parses digits with at most one decimal point. Returns all digits, and how many of them follow the point.
pub(super) fn parse_number(text: &str) -> Result<(Digits, i64), NotAQuantity> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(NotAQuantity);
    }
    let digits = Digits::new(whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0'));
    Ok((digits, i64::try_from(fraction.len()).map_err(|_| NotAQuantity)?))
}
