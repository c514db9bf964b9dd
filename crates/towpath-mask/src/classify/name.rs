//! By name and type of a column.

use std::collections::HashMap;
use std::sync::LazyLock;

use towpath_model::name::QualifiedName;

use super::{Kind, Suspicion};

/// What types a word is believed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// Texts, and documents with the word for a key.
    Text,
    /// Texts and numbers: telephone numbers and postal codes are stored as both.
    TextOrNumber,
    /// Texts, bytes and UUIDs.
    TextOrBytes,
    /// Texts and dates.
    TextOrDate,
    /// Texts, numbers and points.
    Place,
}

/// Words that tell, written together and without umlauts: `first_name`, `firstName` and `firstname`
/// are one. English and German.
const WORDS: &[(Kind, For, &str)] = &[
    (
        Kind::Email,
        For::Text,
        "email emails mail emailaddress mailaddress mailadresse emailadresse replyto",
    ),
    (
        Kind::Device,
        For::Text,
        "useragent mac macaddress deviceid devicetoken deviceidentifier fingerprint imei idfa \
         adid advertisingid",
    ),
    (
        Kind::Ip,
        For::Text,
        "ip ips ipaddress ipaddr ipv4 ipv6 remoteaddr remoteaddress clientip remoteip lastip \
         forwardedfor ipadresse",
    ),
    (
        Kind::Account,
        For::TextOrNumber,
        "iban bic swift accountnumber accountno bankaccount kontonummer kontonr blz \
         bankleitzahl routingnumber sortcode cardnumber cardno creditcard kreditkarte \
         kartennummer pan cvv cvc lastfour last4 ssn socialsecurity socialsecuritynumber \
         sozialversicherungsnummer svnummer nationalid nationalinsurancenumber personalausweis \
         ausweisnummer taxid taxnumber taxno steuernummer steuerid steuernr \
         steueridentifikationsnummer vatid vatnumber ustid ustidnr passport passportnumber \
         passportno passnummer reisepass driverslicense driverlicense fuhrerschein \
         fuehrerschein insurancenumber versicherungsnummer krankenversicherungsnummer \
         personalnummer walletaddress accountholder kontoinhaber",
    ),
    (
        Kind::Secret,
        For::TextOrBytes,
        "password passwd pwd passphrase passwort kennwort secret secrets token apikey accesskey \
         privatekey secretkey signingkey encryptionkey servicekey authkey refresh refreshtoken \
         accesstoken otp totp mfasecret pin pincode securityanswer recoverycode recoverycodes \
         backupcodes verificationcode credentials credential salt cookie sessionkey webhookurl \
         invitecode",
    ),
    (
        Kind::Birth,
        For::TextOrDate,
        "birth birthdate birthday dateofbirth dob born bornon geburt geburtsdatum geburtstag \
         gebdatum geburtsort placeofbirth birthplace",
    ),
    (
        Kind::Phone,
        For::TextOrNumber,
        "phone phones phonenumber phoneno telephone tel telefon telefonnummer telefonnr telno \
         mobile mobilephone mobilenumber mobil mobiltelefon mobilnummer handy handynummer cell \
         cellphone fax faxnumber telefax whatsapp msisdn rufnummer",
    ),
    (
        Kind::Address,
        For::TextOrNumber,
        "address addresses addr addressline address1 address2 adresse adressen anschrift street \
         streetaddress streetname street1 street2 strasse strassenname hausnummer hausnr \
         housenumber zip zipcode postcode postalcode plz postleitzahl lieferadresse \
         rechnungsadresse",
    ),
    (
        Kind::Position,
        For::Place,
        "lat latitude lng lon longitude breitengrad langengrad laengengrad geolocation \
         geoposition coordinates koordinaten latlng latlon gps",
    ),
    (
        Kind::Name,
        For::Text,
        "firstname lastname nick fullname surname forename givenname familyname middlename \
         maidenname birthname nickname username displayname screenname preferredname personname \
         contactname customername recipientname sendername ownername authorname employeename \
         patientname clientname membername holdername cardholder signername contactperson \
         emergencycontact firstnames fname lname vorname vornamen nachname zuname familienname \
         rufname geburtsname spitzname benutzername kundenname anzeigename ansprechpartner \
         kontaktperson empfanger empfaenger absender signature unterschrift assignee",
    ),
    (
        Kind::FreeText,
        For::Text,
        "note notes comment comments remark remarks message messages bio biography biografie \
         aboutme freetext freitext feedback notiz notizen kommentar kommentare bemerkung \
         bemerkungen anmerkung anmerkungen nachricht nachrichten transcript diagnosis diagnose \
         complaint beschwerde",
    ),
];

/// Words beside which the others tell of something else: an `email_template`, a `token_type`.
const VETOES: &str = "type types typ kind status state template templates count counter anzahl format \
         enabled verified confirmed required version category kategorie provider brand length \
         size limit policy config setting settings schema label channel method mode file \
         filename class color colour icon locale lang language valid validated optin consent \
         sent index level expires expiry interval ttl frequency scope scopes strategy algorithm \
         alg attempts rate price cost unit";

/// Words of tables whose rows are people, or about one.
const PEOPLE: &str = "user users customer customers client clients contact contacts person persons people \
         member members employee employees patient patients student students teacher teachers \
         author authors profile profiles applicant applicants candidate candidates guest guests \
         lead leads subscriber subscribers attendee attendees participant participants driver \
         drivers doctor doctors tenant resident residents passenger passengers kunde kunden \
         benutzer nutzer personen mitglied mitglieder mitarbeiter patienten ansprechpartner \
         kontakt kontakte bewerber gaste teilnehmer schuler studenten fahrer adressen address \
         addresses";

/// Words that are personal in tables of people only.
const OF_PEOPLE: &[(Kind, &str)] = &[
    (Kind::Name, "name names initials handle login alias"),
    (Kind::Address, "city town ort stadt wohnort"),
    (Kind::FreeText, "about description beschreibung"),
];

/// A place in the list, and what is said there.
type Told = (usize, Kind, For);

/// By word: its place in the list, which is the order of belief, and what it tells.
static TOLD: LazyLock<HashMap<&str, Vec<Told>>> = LazyLock::new(|| {
    let mut told: HashMap<&str, Vec<_>> = HashMap::new();
    for (place, (kind, wanted, words)) in WORDS.iter().enumerate() {
        for word in words.split_ascii_whitespace() {
            told.entry(word).or_default().push((place, *kind, *wanted));
        }
    }
    told
});

/// Whether a word is in a list.
fn lists(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|one| one == word)
}

/// What name and type of a column alone say.
pub fn by_name(table: &QualifiedName, column: &str, base_type: &str) -> Option<Suspicion> {
    let found = |kind, because: &str| {
        Some(Suspicion {
            kind,
            because: because.to_owned(),
            is_part: false,
        })
    };
    let of = Type::of(base_type);
    if is_of_auth(table, column, of) {
        return found(Kind::Whole, "its table");
    }
    match of {
        Type::Ip => return found(Kind::Ip, "its type"),
        Type::Device => return found(Kind::Device, "its type"),
        Type::Point => return found(Kind::Position, "its type"),
        Type::Never => return None,
        _ => {}
    }
    let words = words(column);
    let kind = told(&words, of).or_else(|| told_of_people(table, &words, of))?;
    found(kind, "its name")
}

/// What a key of a JSON document says about a text under it. Free text is told by its looks: a
/// `message` in a log is nobody's.
pub(super) fn by_key(key: &str) -> Option<Kind> {
    if key.len() > 64 {
        return None;
    }
    told(&words(key), Type::Text).filter(|kind| *kind != Kind::FreeText)
}

/// Whether a column's values are versions of something: they look like addresses of networks.
pub(super) fn tells_of_versions(column: &str) -> bool {
    let tell = [
        "version", "versions", "release", "build", "firmware", "revision", "ver",
    ];
    words(column)
        .iter()
        .any(|word| tell.contains(&word.as_str()))
}

/// Types as far as names of columns go with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Integer,
    Number,
    Date,
    Time,
    Bytes,
    Uuid,
    Ip,
    Device,
    Point,
    Shape,
    Never,
}

impl Type {
    fn of(base_type: &str) -> Self {
        let name = base_type.trim_end_matches("[]");
        let name = name.split('(').next().unwrap_or_default().trim_end();
        let (is_qualified, name) = match name.rsplit_once('.') {
            Some((_, name)) => (true, name),
            None => (false, name),
        };
        match name.trim_matches('"') {
            "text" | "character varying" | "character" | "name" | "citext" | "json" | "jsonb"
            | "xml" | "hstore" | "varchar" | "bpchar" => Type::Text,
            "integer" | "bigint" => Type::Integer,
            "numeric" | "double precision" | "real" => Type::Number,
            "date" => Type::Date,
            "timestamp" | "timestamp without time zone" | "timestamp with time zone" => Type::Time,
            "bytea" => Type::Bytes,
            "uuid" => Type::Uuid,
            "inet" | "cidr" => Type::Ip,
            "macaddr" | "macaddr8" => Type::Device,
            "point" => Type::Point,
            "geometry" | "geography" if base_type.to_lowercase().contains("(point") => Type::Point,
            "geometry" | "geography" => Type::Shape,
            // Rows, and what extensions bring; of PostgreSQL's own the rest holds no such thing.
            "tsvector" => Type::Text,
            _ if is_qualified => Type::Text,
            _ => Type::Never,
        }
    }

    fn goes_with(self, wanted: For) -> bool {
        match self {
            Type::Text => true,
            Type::Integer | Type::Number | Type::Shape if wanted == For::Place => true,
            Type::Integer => wanted == For::TextOrNumber,
            Type::Number => wanted == For::TextOrNumber,
            Type::Date | Type::Time => wanted == For::TextOrDate,
            Type::Bytes | Type::Uuid => wanted == For::TextOrBytes,
            _ => false,
        }
    }
}

/// Schema `auth` is about users and nothing else. What is left are keys, flags, times, and what says
/// of every user the same.
fn is_of_auth(table: &QualifiedName, column: &str, of: Type) -> bool {
    if table.schema == "auth" {
        let is_key = column == "id" || column.ends_with("_id") && column != "provider_id";
        let tells = matches!(
            of,
            Type::Text | Type::Bytes | Type::Ip | Type::Device | Type::Point
        );
        let same_of_all = "aud role provider version aal factor_type status";
        return tells
            && !is_key
            && !lists(same_of_all, column)
            && table.name != "schema_migrations";
    }
    table.schema == "storage"
        && table.name == "objects"
        && ["owner", "owner_id", "user_metadata"].contains(&column)
}

fn told(words: &[String], of: Type) -> Option<Kind> {
    let first = words.first()?.as_str();
    if lists("is has can should allow allows num n count", first)
        || words.iter().any(|word| lists(VETOES, word))
    {
        return None;
    }
    windows(words)
        .flat_map(|(name, to)| {
            // `phone2` is one more of them.
            let one = name.trim_end_matches(|c: char| c.is_ascii_digit());
            let told = TOLD.get(name.as_str()).or_else(|| TOLD.get(one));
            let told = told.map_or(&[][..], Vec::as_slice);
            told.iter().filter(move |(_, kind, wanted)| {
                of.goes_with(*wanted) && !leads_elsewhere(*kind, &words[to..])
            })
        })
        .min_by_key(|(place, ..)| *place)
        .map(|(_, kind, _)| *kind)
}

/// Whether the words after the one that tells make something else of it: `message_id`,
/// `api_key_name`, `token_hint`, `street_id`; `email_subject`.
fn leads_elsewhere(kind: Kind, after: &[String]) -> bool {
    let Some(last) = after.last() else {
        return false;
    };
    match last.as_str() {
        "id" | "ids" | "uuid" | "at" | "url" | "uri" | "path" | "key" | "code" | "slug" => true,
        "name" | "hint" | "prefix" | "usage" => kind == Kind::Secret,
        "subject" | "body" | "title" | "list" | "campaign" => kind == Kind::Email,
        _ => false,
    }
}

fn told_of_people(table: &QualifiedName, words: &[String], of: Type) -> Option<Kind> {
    if of != Type::Text || words.len() > 1 {
        return None;
    }
    let word = words.first()?.as_str();
    let kind = OF_PEOPLE
        .iter()
        .find(|(_, names)| lists(names, word))
        .map(|(kind, _)| *kind)?;
    // The last word says what a row is: `user_roles` are roles.
    let of_table = self::words(&table.name);
    let row = of_table.last()?.as_str();
    lists(PEOPLE, row).then_some(kind)
}

/// Words one after another, up to four, written together; with where the rest begins.
fn windows(words: &[String]) -> impl Iterator<Item = (String, usize)> + '_ {
    (0..words.len()).flat_map(move |from| {
        let longest = words.len().min(from + 4);
        (from + 1..=longest).map(move |to| (words[from..to].concat(), to))
    })
}

/// The words of a name: split at what is no letter or digit, and where a small letter is followed by
/// a capital one; small, and without umlauts.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in name.chars() {
        let begins = !c.is_alphanumeric() || c.is_uppercase() && before.is_lowercase();
        if begins && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut()
            && c.is_alphanumeric()
        {
            fold(c, word);
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn fold(c: char, word: &mut String) {
    match c {
        'ä' | 'Ä' => word.push('a'),
        'ö' | 'Ö' => word.push('o'),
        'ü' | 'Ü' => word.push('u'),
        'ß' => word.push_str("ss"),
        c => word.extend(c.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &str, base_type: &str) -> Option<Kind> {
        let (table, column) = path.rsplit_once('.').unwrap();
        let (schema, table) = table.split_once('.').unwrap_or(("public", table));
        by_name(&QualifiedName::new(schema, table), column, base_type).map(|found| found.kind)
    }

    #[test]
    fn personal_names_are_told() {
        let table = [
            ("t.email", "text", Kind::Email),
            ("t.e_mail", "citext", Kind::Email),
            ("t.EMail", "character varying(80)", Kind::Email),
            ("t.contactEmail", "text", Kind::Email),
            ("t.billing_email_address", "text", Kind::Email),
            ("t.email_hash", "text", Kind::Email),
            ("t.emails", "text[]", Kind::Email),
            ("t.phone", "bigint", Kind::Phone),
            ("t.mobile_no", "numeric(15)", Kind::Phone),
            ("t.Telefon", "text", Kind::Phone),
            ("t.tel", "text", Kind::Phone),
            ("t.first_name", "text", Kind::Name),
            ("t.firstName", "text", Kind::Name),
            ("t.Vorname", "text", Kind::Name),
            ("t.nachname", "text", Kind::Name),
            ("t.user_name", "text", Kind::Name),
            ("users.name", "text", Kind::Name),
            ("app_customers.name", "text", Kind::Name),
            ("Kunden.Name", "text", Kind::Name),
            ("employees.city", "text", Kind::Address),
            ("t.straße", "text", Kind::Address),
            ("t.street", "text", Kind::Address),
            ("t.plz", "integer", Kind::Address),
            ("t.zip_code", "character(5)", Kind::Address),
            ("t.address_line_1", "text", Kind::Address),
            ("t.shipping_address", "jsonb", Kind::Address),
            ("t.ip_address", "text", Kind::Ip),
            ("t.last_sign_in_ip", "inet", Kind::Ip),
            ("t.anything", "cidr", Kind::Ip),
            ("t.anything", "macaddr", Kind::Device),
            ("t.user_agent", "text", Kind::Device),
            ("t.device_id", "text", Kind::Device),
            ("t.iban", "text", Kind::Account),
            ("t.account_number", "bigint", Kind::Account),
            ("t.tax_id", "text", Kind::Account),
            ("t.Steuer-ID", "text", Kind::Account),
            ("t.ssn", "integer", Kind::Account),
            ("t.passport_no", "text", Kind::Account),
            ("t.password_hash", "text", Kind::Secret),
            ("t.encrypted_password", "text", Kind::Secret),
            ("t.api_key", "text", Kind::Secret),
            ("t.refresh_token", "uuid", Kind::Secret),
            ("t.secret", "bytea", Kind::Secret),
            ("t.dob", "date", Kind::Birth),
            ("t.date_of_birth", "text", Kind::Birth),
            ("t.geburtsdatum", "date", Kind::Birth),
            ("t.lat", "double precision", Kind::Position),
            ("t.longitude", "numeric(9,6)", Kind::Position),
            ("t.home", "point", Kind::Position),
            ("t.home", "geography(Point,4326)", Kind::Position),
            ("t.notes", "text", Kind::FreeText),
            ("t.internal_comment", "text", Kind::FreeText),
            ("t.bio", "text", Kind::FreeText),
            ("t.email2", "text", Kind::Email),
            ("t.phone_no2", "bigint", Kind::Phone),
            ("t.home_address", "public.address", Kind::Address),
            ("t.email", "public.\"Mail Address\"", Kind::Email),
            ("customers.name", "public.person_name", Kind::Name),
            ("t.coordinates", "extensions.geography", Kind::Position),
            ("auth.users.raw_user_meta_data", "jsonb", Kind::Whole),
            ("auth.users.phone", "text", Kind::Whole),
            ("auth.sessions.ip", "inet", Kind::Whole),
            ("storage.objects.owner", "uuid", Kind::Whole),
        ];
        for (path, base_type, wanted) in table {
            assert_eq!(kind(path, base_type), Some(wanted), "{path} {base_type}");
        }
    }

    #[test]
    fn other_names_are_left_alone() {
        let table = [
            ("t.id", "uuid"),
            ("t.member_ship", "text"),
            ("t.membership", "text"),
            ("t.tokenize_at", "boolean"),
            ("t.email", "boolean"),
            ("t.email_verified", "boolean"),
            ("t.email_verified", "text"),
            ("t.email_type", "text"),
            ("t.email_template_id", "uuid"),
            ("t.email_subject", "text"),
            ("t.email_sent_at", "timestamp with time zone"),
            ("t.phone_type", "enum"),
            ("t.token_count", "integer"),
            ("t.tokens", "integer"),
            ("t.token_type", "text"),
            ("t.api_key_name", "text"),
            ("t.message_id", "uuid"),
            ("t.message_id", "text"),
            ("t.address_id", "bigint"),
            ("t.name", "text"),
            ("products.name", "text"),
            ("user_roles.name", "text"),
            ("cities.city", "text"),
            ("t.company_name", "text"),
            ("t.file_name", "text"),
            ("t.title", "text"),
            ("t.slug", "text"),
            ("t.status", "text"),
            ("t.description", "text"),
            ("t.version", "text"),
            ("t.ship_date", "date"),
            ("t.zipped", "text"),
            ("t.recipient", "integer"),
            ("t.pinned", "text"),
            ("t.tip", "numeric"),
            ("t.latency_ms", "integer"),
            ("t.landing_page", "text"),
            ("t.birth_count", "integer"),
            ("t.created_at", "timestamp with time zone"),
            ("t.has_phone", "text"),
            ("t.price", "numeric(10,2)"),
            ("t.span", "tsrange"),
            ("t.area", "geometry(Polygon,4326)"),
            ("t.address_area", "geometry(Polygon,4326)"),
            ("t.email", "enum"),
            ("auth.users.id", "uuid"),
            ("auth.users.created_at", "timestamp with time zone"),
            ("auth.users.aud", "character varying(255)"),
            ("auth.users.is_sso_user", "boolean"),
            ("auth.schema_migrations.version", "text"),
            ("t.", "text"),
            ("t.___", "text"),
        ];
        for (path, base_type) in table {
            assert_eq!(kind(path, base_type), None, "{path} {base_type}");
        }
    }

    #[test]
    fn every_word_is_as_names_are_folded() {
        let told = TOLD.keys().copied();
        let others = PEOPLE.split_whitespace().chain(VETOES.split_whitespace());
        for word in told.chain(others) {
            assert_eq!(words(word).concat(), word);
        }
    }
}
