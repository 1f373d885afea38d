//! What the server answers, as the values that are meant.

use std::str::FromStr;

use redis::Value;

/// An answer that has not the form that its step gives it: a defect, or another program behind the address.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the server's answer has an unexpected form: {0}")]
pub(super) struct Malformed(pub(super) String);

/// The rest of an array, read from left to right.
pub(super) struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    /// Opens an array.
    pub(super) fn open(value: Value) -> Result<Self, Malformed> {
        match value {
            Value::Array(values) => Ok(Self(values.into_iter())),
            other => Err(Malformed(format!("{other:?}"))),
        }
    }

    /// Says how many values are left.
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    fn value(&mut self) -> Result<Value, Malformed> {
        self.0.next().ok_or_else(|| Malformed("it is too short".to_owned()))
    }

    /// Takes an array.
    pub(super) fn array(&mut self) -> Result<Self, Malformed> {
        Self::open(self.value()?)
    }

    /// Takes bytes.
    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, Malformed> {
        match self.value()? {
            Value::BulkString(bytes) => Ok(bytes),
            Value::SimpleString(text) => Ok(text.into_bytes()),
            Value::Int(number) => Ok(number.to_string().into_bytes()),
            other => Err(Malformed(format!("{other:?} where bytes were expected"))),
        }
    }

    /// Takes bytes, or nothing.
    pub(super) fn bytes_or_nil(&mut self) -> Result<Option<Vec<u8>>, Malformed> {
        if matches!(self.0.as_slice().first(), Some(Value::Nil)) {
            self.0.next();
            return Ok(None);
        }
        self.bytes().map(Some)
    }

    /// Takes text.
    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes()?).map_err(|e| Malformed(e.to_string()))
    }

    /// Takes text, or nothing.
    pub(super) fn text_or_nil(&mut self) -> Result<Option<String>, Malformed> {
        let bytes = self.bytes_or_nil()?;
        bytes.map(|bytes| String::from_utf8(bytes).map_err(|e| Malformed(e.to_string()))).transpose()
    }

    /// Takes what has a text, such as a number.
    pub(super) fn parse<T: FromStr>(&mut self) -> Result<T, Malformed> {
        let text = self.text()?;
        text.parse().map_err(|_| Malformed(format!("`{text}` where another value was expected")))
    }
}
