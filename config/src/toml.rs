//! Reads TOML, and passes each value on with its path and line.

mod syntax;

use std::borrow::Cow;
use std::cell::Cell;

use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{EventReceiver, parse_document};
use toml_parser::{ErrorSink, ParseError, Source, Span};

use crate::value::{Mistake, Value};
use syntax::explain;

/// Receives the content of a file in its order. The first mistake ends the reading.
pub(crate) trait Receiver<'i> {
    /// A table begins: `[a.b]`, or `a.b = {`.
    fn table(&mut self, path: &[Cow<'i, str>], line: u32, form: Form) -> Result<(), Mistake>;

    fn value(&mut self, path: &[Cow<'i, str>], line: u32, value: Value<'i>) -> Result<(), Mistake>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `[a.b]`
    Header,
    /// `[[a.b]]`
    ArrayHeader,
    /// `a.b = { … }`
    Inline,
}

/// Reads a text. Returns the first mistake, of the syntax or of the receiver.
pub(crate) fn read<'i>(text: &'i str, to: &mut dyn Receiver<'i>) -> Result<(), Mistake> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let (statement, broken) = (Cell::new(0), Cell::new(None));
    let mut reader = Reader {
        source,
        to,
        line: Line { text, at: 0, number: 1 },
        path: Vec::new(),
        bases: Vec::new(),
        header: None,
        list: None,
        mistake: None,
        statement: &statement,
        broken: &broken,
    };
    let mut note = |error: ParseError| {
        if broken.get().is_none() {
            let span = error.unexpected().or(error.context());
            broken.set(Some(Broken { statement: statement.get(), at: span.map_or(0, |span| span.start()) }));
        }
    };
    parse_document(&tokens, &mut reader, &mut note);
    // After a mistake in the syntax the receiver is not called any more. So a mistake that the receiver found came first.
    match (reader.mistake, broken.get()) {
        (Some(mistake), _) => Err(mistake),
        (None, Some(broken)) => Err(explain(text, broken)),
        (None, None) => Ok(()),
    }
}

/// The first place that is not TOML.
#[derive(Clone, Copy)]
struct Broken {
    /// The start of the line on which the statement begins.
    statement: usize,
    at: usize,
}

/// Counts lines up to a place in the text. Places are asked for in their order.
struct Line<'i> {
    text: &'i str,
    at: usize,
    number: u32,
}

impl Line<'_> {
    fn of(&mut self, at: usize) -> u32 {
        let ends = self.text.get(self.at..at).unwrap_or_default().matches('\n').count();
        self.number = self.number.saturating_add(u32::try_from(ends).unwrap_or(u32::MAX));
        self.at = self.at.max(at);
        self.number
    }
}

struct Reader<'i, 'r> {
    source: Source<'i>,
    to: &'r mut dyn Receiver<'i>,
    line: Line<'i>,
    /// The table that is open, and the key that is being read.
    path: Vec<Cow<'i, str>>,
    /// The length of the path of each open table: that of the header, then those of inline tables.
    bases: Vec<usize>,
    /// The header that is being read.
    header: Option<Form>,
    list: Option<List<'i>>,
    mistake: Option<Mistake>,
    /// The start of the line on which the current statement begins.
    statement: &'r Cell<usize>,
    /// Set at the first mistake of the syntax. What follows is the parser's guess.
    broken: &'r Cell<Option<Broken>>,
}

/// A list that is being read.
struct List<'i> {
    line: u32,
    texts: Vec<Cow<'i, str>>,
    /// Lists and tables inside it that are open, and not read.
    inside: u32,
    /// Whether something in it is no text.
    is_other: bool,
}

impl<'i> Reader<'i, '_> {
    /// Whether there was no mistake yet.
    fn goes_on(&self) -> bool {
        self.mistake.is_none() && self.broken.get().is_none()
    }

    fn keep(&mut self, result: Result<(), Mistake>) {
        if let Err(mistake) = result {
            self.mistake.get_or_insert(mistake);
        }
    }

    fn header(&mut self, form: Form) {
        self.path.clear();
        self.bases.clear();
        self.header = Some(form);
    }

    fn end_header(&mut self, span: Span) {
        let Some(form) = self.header.take() else { return };
        self.bases.push(self.path.len());
        if self.goes_on() {
            let line = self.line.of(span.start());
            let result = self.to.table(&self.path, line, form);
            self.keep(result);
        }
    }

    fn value(&mut self, line: u32, value: Value<'i>) {
        if self.goes_on() {
            let result = self.to.value(&self.path, line, value);
            self.keep(result);
        }
        self.end_value();
    }

    /// The next key belongs to the table that is open.
    fn end_value(&mut self) {
        self.path.truncate(self.bases.last().copied().unwrap_or(0));
    }
}

impl EventReceiver for Reader<'_, '_> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header(Form::Header);
    }

    fn std_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.end_header(span);
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.header(Form::ArrayHeader);
    }

    fn array_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.end_header(span);
    }

    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        if let Some(list) = &mut self.list {
            list.inside += 1;
            list.is_other = true;
            return false;
        }
        self.bases.push(self.path.len());
        if self.goes_on() {
            let line = self.line.of(span.start());
            let result = self.to.table(&self.path, line, Form::Inline);
            self.keep(result);
        }
        // The receiver refuses a table that is too deep, so the parser never calls itself often.
        self.goes_on()
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        if let Some(list) = &mut self.list {
            list.inside = list.inside.saturating_sub(1);
            return;
        }
        self.bases.pop();
        self.end_value();
    }

    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        if let Some(list) = &mut self.list {
            list.inside += 1;
            list.is_other = true;
            return false;
        }
        let line = self.line.of(span.start());
        self.list = Some(List { line, texts: Vec::new(), inside: 0, is_other: false });
        true
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        match self.list.take() {
            Some(mut list) if list.inside > 0 => {
                list.inside -= 1;
                self.list = Some(list);
            }
            Some(list) if list.is_other => {
                self.value(list.line, Value::Other("a list of other values than texts"));
            }
            Some(list) => self.value(list.line, Value::List(list.texts)),
            None => {}
        }
    }

    fn newline(&mut self, span: Span, error: &mut dyn ErrorSink) {
        if let Some(raw) = self.source.get(span) {
            raw.decode_newline(error);
        }
        if self.list.is_none() && self.bases.len() <= 1 {
            self.statement.set(span.end());
        }
    }

    fn comment(&mut self, span: Span, error: &mut dyn ErrorSink) {
        if let Some(raw) = self.source.get(span) {
            raw.decode_comment(error);
        }
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else { return };
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span);
        let mut key = Cow::Borrowed("");
        raw.decode_key(&mut key, error);
        if self.list.is_none() {
            self.path.push(key);
        }
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else { return };
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span);
        let mut text = Cow::Borrowed("");
        let value = match raw.decode_scalar(&mut text, error) {
            ScalarKind::String => Value::Text(text),
            ScalarKind::Integer(radix) => {
                Value::Integer(u32::from_str_radix(&text, radix.value()).ok().filter(|number| *number > 0))
            }
            ScalarKind::Boolean(_) => Value::Other("true or false"),
            ScalarKind::Float => Value::Other("a number with a fraction"),
            ScalarKind::DateTime => Value::Other("a date or time"),
        };
        match (&mut self.list, value) {
            (None, value) => {
                let line = self.line.of(span.start());
                self.value(line, value);
            }
            (Some(list), Value::Text(text)) if list.inside == 0 => list.texts.push(text),
            (Some(list), _) => list.is_other = true,
        }
    }
}
