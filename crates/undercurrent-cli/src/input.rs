//! Values given as text, as `@FILE`, or as `-` for stdin.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bytes::Bytes;

use crate::failure::Failure;

/// Returns the bytes that an argument stands for.
pub(crate) fn read(given: &OsStr) -> Result<Bytes, Failure> {
    match given.as_bytes() {
        b"-" => read_stdin(),
        [b'@', file @ ..] => {
            let path = Path::new(OsStr::from_bytes(file));
            let bytes = std::fs::read(path);
            bytes
                .map(Bytes::from)
                .map_err(|error| Failure::usage(format!("`{}` can not be read: {error}", path.display())))
        }
        text => Ok(Bytes::copy_from_slice(text)),
    }
}

fn read_stdin() -> Result<Bytes, Failure> {
    let mut all = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut all);
    read.map_err(|error| Failure::usage(format!("stdin can not be read: {error}")))?;
    Ok(all.into())
}
