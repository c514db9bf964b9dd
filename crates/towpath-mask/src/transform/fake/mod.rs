//! Made-up data. Lists of names, places and words are those of crate `fake`; what is picked from
//! them, and how it is put together, is drawn here from the key and the value.
//!
//! Nothing that is made up reaches anybody: see [`contact`].

use fake::locales::{DE_DE, Data, EN};
use towpath_model::masking::{Fake, Locale};

use super::draw::{Draw, token};
use super::shape::Shape;
use crate::codec::Type;

mod contact;

/// Times that something is made up anew because it is what was given.
const ATTEMPTS: u32 = 16;

/// Makes up one kind of data.
pub(super) struct Maker {
    key: [u8; 32],
    what: Fake,
    lists: Lists,
    unique: bool,
    column_type: Type,
    shape: Shape,
}

impl Maker {
    pub(super) fn new(
        key: [u8; 32],
        what: Fake,
        locale: Locale,
        unique: bool,
        column_type: Type,
    ) -> Self {
        Self {
            key,
            what,
            lists: Lists::of(locale),
            unique,
            column_type,
            shape: Shape::new(key, 0, 0, Type::Text),
        }
    }

    pub(super) fn apply(&self, value: &str, max_chars: Option<usize>, out: &mut String) -> bool {
        let mut draw = Draw::of(&self.key, value.as_bytes());
        let room = max_chars.unwrap_or(usize::MAX);
        for _ in 0..ATTEMPTS {
            out.clear();
            self.make(&mut draw, value, room, out);
            cut(out, room);
            if !out.is_empty() && !self.is_same(out, value) {
                return true;
            }
        }
        out.clear();
        // Where there is no room for anything else, one letter for another is something.
        !matches!(self.column_type, Type::Inet | Type::Cidr) && self.shape.apply(value, out)
    }

    /// Of a `citext` what is given is in small letters, whatever the column holds.
    fn is_same(&self, made: &str, value: &str) -> bool {
        match self.column_type {
            Type::CaseInsensitive => made.to_lowercase() == value,
            _ => made == value,
        }
    }

    fn make(&self, draw: &mut Draw<'_>, value: &str, room: usize, out: &mut String) {
        let lists = &self.lists;
        match self.what {
            Fake::Name => {
                lists.first_name(draw, out);
                out.push(' ');
                lists.last_name(draw, out);
            }
            Fake::FirstName => lists.first_name(draw, out),
            Fake::LastName => lists.last_name(draw, out),
            Fake::Email => return contact::email(lists, self.unique, draw, room, out),
            Fake::Username => return contact::username(lists, self.unique, draw, room, out),
            Fake::Phone => contact::phone(lists.locale, value, draw, room, out),
            Fake::Address => lists.address(draw, out),
            Fake::Street => lists.street(draw, out),
            Fake::City => lists.city(draw, out),
            Fake::PostalCode => postal_code(draw, out),
            Fake::Company => lists.company(draw, out),
            Fake::Iban => contact::iban(lists.locale, value, draw, room, out),
            Fake::Ip => contact::ip(value, self.column_type, draw, room, out),
            Fake::Url => return contact::url(value, draw, room, out),
            Fake::UserAgent => out.push_str(draw.one_of(EN::INTERNET_USER_AGENT).unwrap_or("-")),
            Fake::Text => self.text(draw, value, room, out),
        }
        if self.unique {
            cut(out, room.saturating_sub(14));
            out.push(' ');
            token(draw.bits(), out);
        }
    }

    /// Words, about as many characters as there were.
    fn text(&self, draw: &mut Draw<'_>, value: &str, room: usize, out: &mut String) {
        let length = value.chars().count().min(room).max(3);
        let mut is_first = true;
        while out.len() < length {
            let word = draw.one_of(EN::LOREM_WORD).unwrap_or("et");
            if !is_first {
                out.push(' ');
            }
            match word.split_at_checked(1).filter(|_| is_first) {
                Some((initial, rest)) => {
                    out.push_str(&initial.to_uppercase());
                    out.push_str(rest);
                }
                None => out.push_str(word),
            }
            is_first = false;
        }
        cut(out, length.saturating_sub(1));
        out.push('.');
    }
}

/// Lists of a language.
struct Lists {
    locale: Locale,
    first_names: &'static [&'static str],
    last_names: &'static [&'static str],
    city_prefixes: &'static [&'static str],
    city_suffixes: &'static [&'static str],
    street_suffixes: &'static [&'static str],
    states: &'static [&'static str],
    company_suffixes: &'static [&'static str],
}

impl Lists {
    fn of(locale: Locale) -> Self {
        match locale {
            Locale::En => Self::of_data::<EN>(locale),
            Locale::De => Self::of_data::<DE_DE>(locale),
        }
    }

    fn of_data<D: Data>(locale: Locale) -> Self {
        Self {
            locale,
            first_names: D::NAME_FIRST_NAME,
            last_names: D::NAME_LAST_NAME,
            city_prefixes: D::ADDRESS_CITY_PREFIX,
            city_suffixes: D::ADDRESS_CITY_SUFFIX,
            street_suffixes: D::ADDRESS_STREET_SUFFIX,
            states: D::ADDRESS_STATE_ABBR,
            company_suffixes: D::COMPANY_SUFFIX,
        }
    }

    fn first_name(&self, draw: &mut Draw<'_>, out: &mut String) {
        out.push_str(draw.one_of(self.first_names).unwrap_or("Kim"));
    }

    fn last_name(&self, draw: &mut Draw<'_>, out: &mut String) {
        out.push_str(draw.one_of(self.last_names).unwrap_or("Doe"));
    }

    fn company(&self, draw: &mut Draw<'_>, out: &mut String) {
        let sort = draw.below(4);
        self.last_name(draw, out);
        if sort > 0 {
            out.push_str(match (sort, self.locale) {
                (1, Locale::En) => " and ",
                (1, Locale::De) => " & ",
                (2, _) => "-",
                _ => " ",
            });
            self.last_name(draw, out);
        }
        out.push(' ');
        out.push_str(draw.one_of(self.company_suffixes).unwrap_or("Ltd"));
    }

    fn street(&self, draw: &mut Draw<'_>, out: &mut String) {
        let number = draw.below(199) + 1;
        let suffix = draw.one_of(self.street_suffixes).unwrap_or("Street");
        let name = draw.one_of(self.last_names).unwrap_or("High");
        match self.locale {
            Locale::En => out.push_str(&format!("{number} {name} {suffix}")),
            Locale::De => out.push_str(&format!("{name}{suffix} {number}")),
        }
    }

    fn city(&self, draw: &mut Draw<'_>, out: &mut String) {
        if draw.below(2) == 0 {
            out.push_str(draw.one_of(self.city_prefixes).unwrap_or("New"));
            out.push(' ');
        }
        self.last_name(draw, out);
        out.push_str(draw.one_of(self.city_suffixes).unwrap_or("ton"));
    }

    fn address(&self, draw: &mut Draw<'_>, out: &mut String) {
        self.street(draw, out);
        out.push_str(", ");
        match self.locale {
            Locale::En => {
                self.city(draw, out);
                out.push_str(", ");
                out.push_str(draw.one_of(self.states).unwrap_or("NY"));
                out.push(' ');
                postal_code(draw, out);
            }
            Locale::De => {
                postal_code(draw, out);
                out.push(' ');
                self.city(draw, out);
            }
        }
    }
}

fn postal_code(draw: &mut Draw<'_>, out: &mut String) {
    out.push_str(&format!("{:05}", draw.below(98_999) + 1_001));
}

/// Cuts a text to so many characters, and no space remains at its end.
fn cut(text: &mut String, chars: usize) {
    if text.len() > chars
        && let Some((end, _)) = text.char_indices().nth(chars)
    {
        text.truncate(end);
        text.truncate(text.trim_end().len());
    }
}
