//! Numbers changed by chance within bounds.

use towpath_model::{ErrorKind, Failure, Result};

use super::draw::Draw;
use super::shape::Shape;
use crate::codec::{Type, write_float4, write_float8};

/// Significant digits that are reckoned with; digits behind them stay.
const DIGITS: usize = 26;

/// Changes numbers by some per cent of themselves at most, and by one unit of their last place at
/// least.
pub(super) struct Noise {
    key: [u8; 32],
    /// In millionths of a per cent.
    share: u128,
    percent: f64,
    min: Option<f64>,
    max: Option<f64>,
    column_type: Type,
    shape: Shape,
}

impl Noise {
    pub(super) fn new(
        key: [u8; 32],
        percent: f64,
        min: Option<f64>,
        max: Option<f64>,
        column_type: Type,
    ) -> Self {
        let percent = percent.abs().clamp(0.0, 10_000.0);
        Self {
            key,
            share: format!("{:.0}", percent * 1e6).parse().unwrap_or(0),
            percent,
            min,
            max,
            column_type,
            shape: Shape::new(key, 0, 0, Type::Text),
        }
    }

    /// A text within JSON that is no number keeps its shape. A number that the bounds leave no other
    /// one for is an error: as it is it must not go on.
    pub(super) fn apply(&self, value: &str, out: &mut String) -> Result<bool> {
        // Within `json` a number may have an exponent.
        let has_exponent = value.contains(['e', 'E']);
        let is_changed = match self.column_type {
            Type::Float4 | Type::Float8 => self.apply_to_float(value, out),
            _ if has_exponent => self.apply_to_float(value, out),
            _ => self.apply_to_decimal(value, out),
        };
        match (is_changed, self.column_type) {
            (Some(true), _) if out != value => Ok(true),
            (Some(_), _) => Err(no_choice()),
            (None, Type::Text) => Ok(self.shape.apply(value, out)),
            // Too great a one to be reckoned with.
            (None, Type::Numeric(_)) if has_exponent => Ok(self.shape.apply_to_number(value, out)),
            (None, _) => Ok(false),
        }
    }

    /// Whether it could be changed; nothing for what is no number.
    fn apply_to_float(&self, value: &str, out: &mut String) -> Option<bool> {
        let number: f64 = value
            .parse()
            .ok()
            .filter(|number: &f64| number.is_finite())?;
        let mut draw = Draw::of(&self.key, value.as_bytes());
        let way = draw.either_way();
        let size = if number == 0.0 { 1.0 } else { number };
        let change = size * self.percent / 100.0 * way;
        for candidate in [
            number + change,
            number - change,
            if way < 0.0 {
                number.next_down()
            } else {
                number.next_up()
            },
            if way < 0.0 {
                number.next_up()
            } else {
                number.next_down()
            },
        ] {
            out.clear();
            let bounded = self.bounded(candidate);
            if bounded.is_finite() && self.write_float(bounded, number, out) && out != value {
                return Some(true);
            }
        }
        Some(false)
    }

    fn bounded(&self, number: f64) -> f64 {
        let number = self.min.map_or(number, |min| number.max(min));
        self.max.map_or(number, |max| number.min(max))
    }

    /// False where a `real` cannot tell the number from what it was.
    fn write_float(&self, number: f64, before: f64, out: &mut String) -> bool {
        if self.column_type != Type::Float4 {
            write_float8(number, out);
            return true;
        }
        let (Some(mut short), Some(old)) = (to_real(number), to_real(before)) else {
            return false;
        };
        if short == old {
            short = if number < before {
                old.next_down()
            } else {
                old.next_up()
            };
        }
        let bounded = self.bounded(f64::from(short));
        write_float4(short, out);
        short.is_finite() && bounded == f64::from(short)
    }

    /// The same.
    fn apply_to_decimal(&self, value: &str, out: &mut String) -> Option<bool> {
        let decimal = Decimal::parse(value)?;
        let mut draw = Draw::of(&self.key, value.as_bytes());
        Some(match decimal.unscaled() {
            Some(number) => self.change(&decimal, number, &mut draw, out),
            None => self.change_long(&decimal, &mut draw, out),
        })
    }

    fn change(
        &self,
        decimal: &Decimal<'_>,
        number: i128,
        draw: &mut Draw<'_>,
        out: &mut String,
    ) -> bool {
        let (low, high) = bounds(self.column_type, self.min, self.max, decimal.scale());
        if low > high {
            return false;
        }
        let change = self.draw_change(number.unsigned_abs(), draw);
        let candidates = [
            number + change,
            number - change,
            number + change.signum(),
            number - change.signum(),
        ];
        for candidate in candidates {
            let bounded = candidate.clamp(low, high);
            if bounded != number {
                write_unscaled(bounded, decimal.scale(), out);
                return true;
            }
        }
        false
    }

    /// As likely any number between the bounds of the change, zero left out.
    fn draw_change(&self, size: u128, draw: &mut Draw<'_>) -> i128 {
        const WHOLE: u128 = 100_000_000;
        let most = size / WHOLE * self.share + size % WHOLE * self.share / WHOLE;
        let most = most.max(1);
        let wide = u128::from(draw.bits()) << 64 | u128::from(draw.bits());
        let place = i128::try_from(wide % (2 * most)).unwrap_or(0);
        let most = i128::try_from(most).unwrap_or(1);
        match place - most {
            change if change >= 0 => change + 1,
            change => change,
        }
    }

    /// A number of more digits than are reckoned with: the first ones change, and are as many.
    fn change_long(&self, decimal: &Decimal<'_>, draw: &mut Draw<'_>, out: &mut String) -> bool {
        let digits = decimal.digits();
        let (first, rest) = digits.split_at(DIGITS);
        let Ok(number) = first.parse::<i128>() else {
            return false;
        };
        let low = 10_i128.pow(25);
        let high = low * 10 - 1;
        let change = self.draw_change(number.unsigned_abs(), draw);
        let changed = [number + change, number - change]
            .into_iter()
            .map(|candidate| candidate.clamp(low, high))
            .find(|candidate| *candidate != number);
        let Some(changed) = changed else {
            return false;
        };
        let digits = format!("{changed}{rest}");
        write_digits(decimal.is_negative, &digits, decimal.scale(), out);
        self.hold_within(decimal.scale(), out);
        true
    }

    fn hold_within(&self, scale: usize, text: &mut String) {
        let number: f64 = text.parse().unwrap_or(f64::NAN);
        let bounded = self.bounded(number);
        if bounded != number {
            // No `numeric` has more decimals; a number within JSON may.
            let scale = scale.min(16_383);
            text.clear();
            text.push_str(&format!("{bounded:.scale$}"));
        }
    }
}

fn no_choice() -> Failure {
    Failure::new(
        ErrorKind::Config,
        "noise may not leave a number as it is, and its min and max leave no other one",
    )
    .hint("write bounds that are farther apart, or use constant")
}

/// Whether the bounds of a rule leave two numbers of a type at least, where its scale is known.
pub(super) fn has_choice(column_type: Type, min: Option<f64>, max: Option<f64>) -> bool {
    let scale = match column_type {
        Type::Numeric(Some((_, scale))) => usize::try_from(scale).unwrap_or(0),
        Type::Integer(_) | Type::Oid => 0,
        _ => return true,
    };
    let (low, high) = bounds(column_type, min, max, scale);
    low < high
}

/// Of a type and of a rule, both in units of the last place.
fn bounds(column_type: Type, min: Option<f64>, max: Option<f64>, scale: usize) -> (i128, i128) {
    let (mut low, mut high) = match column_type {
        Type::Integer(2) => (i128::from(i16::MIN), i128::from(i16::MAX)),
        Type::Integer(4) => (i128::from(i32::MIN), i128::from(i32::MAX)),
        Type::Integer(_) => (i128::from(i64::MIN), i128::from(i64::MAX)),
        Type::Oid => (0, i128::from(u32::MAX)),
        Type::Numeric(Some((precision, _))) if precision <= 30 => {
            let most = 10_i128.pow(precision) - 1;
            (-most, most)
        }
        _ => (i128::MIN / 4, i128::MAX / 4),
    };
    if let Some(min) = min.and_then(|min| in_units(min, scale, true)) {
        low = low.max(min);
    }
    if let Some(max) = max.and_then(|max| in_units(max, scale, false)) {
        high = high.min(max);
    }
    (low, high)
}

fn to_real(number: f64) -> Option<f32> {
    format!("{number:e}")
        .parse::<f32>()
        .ok()
        .filter(|real| real.is_finite())
}

/// A bound in units of the last place, rounded towards the inside.
fn in_units(bound: f64, scale: usize, is_lower: bool) -> Option<i128> {
    if !bound.is_finite() {
        return None;
    }
    // Rust writes a double without exponent, and all of it.
    let text = bound.to_string();
    let decimal = Decimal::parse(&text)?;
    let number = decimal.unscaled()?;
    let own = decimal.scale();
    if own <= scale {
        let factor = 10_i128.checked_pow(u32::try_from(scale - own).ok()?)?;
        return number.checked_mul(factor);
    }
    let factor = 10_i128.checked_pow(u32::try_from(own - scale).ok()?)?;
    let below = number.div_euclid(factor);
    let is_exact = number.rem_euclid(factor) == 0;
    Some(if is_lower && !is_exact {
        below + 1
    } else {
        below
    })
}

/// A number in plain decimal form.
pub(super) struct Decimal<'v> {
    pub(super) is_negative: bool,
    whole: &'v str,
    decimals: &'v str,
}

impl<'v> Decimal<'v> {
    /// Nothing for what is no such number: `NaN`, `Infinity`.
    pub(super) fn parse(text: &'v str) -> Option<Self> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, decimals) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_plain(whole) || !is_plain(decimals) {
            return None;
        }
        Some(Self {
            is_negative: unsigned.len() < text.len(),
            whole,
            decimals,
        })
    }

    pub(super) fn scale(&self) -> usize {
        self.decimals.len()
    }

    /// Significant digits of the number without its point.
    pub(super) fn digits(&self) -> String {
        let all = format!("{}{}", self.whole, self.decimals);
        all.trim_start_matches('0').to_owned()
    }

    /// The number in units of its last place, where it is not too long.
    fn unscaled(&self) -> Option<i128> {
        let mut number: i128 = 0;
        let mut digits = 0;
        for byte in self.whole.bytes().chain(self.decimals.bytes()) {
            digits += usize::from(digits > 0 || byte != b'0');
            if digits > DIGITS {
                return None;
            }
            number = number * 10 + i128::from(byte - b'0');
        }
        Some(if self.is_negative { -number } else { number })
    }
}

fn write_unscaled(number: i128, scale: usize, out: &mut String) {
    let digits = number.unsigned_abs().to_string();
    write_digits(number < 0, &digits, scale, out);
}

/// Writes a number that is given in units of its last place.
pub(super) fn write_digits(is_negative: bool, digits: &str, scale: usize, out: &mut String) {
    if is_negative {
        out.push('-');
    }
    let whole = digits.len().saturating_sub(scale);
    match whole {
        0 => out.push('0'),
        _ => out.push_str(&digits[..whole]),
    }
    if scale > 0 {
        out.push('.');
        out.extend(std::iter::repeat_n('0', scale.saturating_sub(digits.len())));
        out.push_str(&digits[whole..]);
    }
}
