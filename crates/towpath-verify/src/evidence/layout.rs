//! Evidence as text: laid out for people, and a chunk in a line, of which there may be very many.

use std::io::{Result as IoResult, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use towpath_model::document::Document;
use towpath_model::verification::Verification;
use towpath_model::{ErrorKind, Failure, Result};

/// Containers nested this deep still have their elements in lines of their own. The chunks of a
/// table of the chain are such elements; what is in a chunk is not.
const IN_LINES: usize = 5;

#[derive(Serialize)]
struct Enveloped<'a> {
    format: &'static str,
    version: u32,
    #[serde(flatten)]
    body: &'a Verification,
}

/// The verification as JSON with a final newline.
pub(super) fn render(verification: &Verification) -> Result<Vec<u8>> {
    let enveloped = Enveloped {
        format: Verification::FORMAT,
        version: Verification::VERSION,
        body: verification,
    };
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Lines::default());
    enveloped.serialize(&mut serializer).map_err(|cause| {
        Failure::new(ErrorKind::Internal, "could not write an evidence").because(cause)
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Lays out containers in lines down to a depth, and in one line below.
#[derive(Default)]
struct Lines {
    depth: usize,
    has_element: bool,
}

impl Lines {
    fn is_in_lines(&self) -> bool {
        self.depth <= IN_LINES
    }

    fn line<W: Write + ?Sized>(&self, to: &mut W) -> IoResult<()> {
        to.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| to.write_all(b"  "))
    }

    fn begin<W: Write + ?Sized>(&mut self, to: &mut W, bracket: &[u8]) -> IoResult<()> {
        self.depth += 1;
        self.has_element = false;
        to.write_all(bracket)
    }

    fn element<W: Write + ?Sized>(&mut self, to: &mut W, first: bool) -> IoResult<()> {
        if !first {
            to.write_all(b",")?;
        }
        match self.is_in_lines() {
            true => self.line(to),
            false => Ok(()),
        }
    }

    fn end<W: Write + ?Sized>(&mut self, to: &mut W, bracket: &[u8]) -> IoResult<()> {
        let in_lines = self.is_in_lines() && self.has_element;
        self.depth -= 1;
        if in_lines {
            self.line(to)?;
        }
        to.write_all(bracket)
    }
}

impl Formatter for Lines {
    fn begin_array<W: Write + ?Sized>(&mut self, to: &mut W) -> IoResult<()> {
        self.begin(to, b"[")
    }

    fn end_array<W: Write + ?Sized>(&mut self, to: &mut W) -> IoResult<()> {
        self.end(to, b"]")
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, to: &mut W, first: bool) -> IoResult<()> {
        self.element(to, first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, _: &mut W) -> IoResult<()> {
        self.has_element = true;
        Ok(())
    }

    fn begin_object<W: Write + ?Sized>(&mut self, to: &mut W) -> IoResult<()> {
        self.begin(to, b"{")
    }

    fn end_object<W: Write + ?Sized>(&mut self, to: &mut W) -> IoResult<()> {
        self.end(to, b"}")
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, to: &mut W, first: bool) -> IoResult<()> {
        self.element(to, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, to: &mut W) -> IoResult<()> {
        let colon: &[u8] = if self.is_in_lines() { b": " } else { b":" };
        to.write_all(colon)
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, _: &mut W) -> IoResult<()> {
        self.has_element = true;
        Ok(())
    }
}
