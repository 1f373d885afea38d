//! Ports that no other test takes.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};

use crate::error::ServerError;

/// Below the range from which Linux takes ports for outgoing connections, so that a port stays free while its server is
/// down, and above what usual servers listen on.
const FIRST: u16 = 14_000;
const LAST: u16 = 32_000;

/// A loopback port, held by a locked file: no other test of this user on this machine gets it, also while nothing listens.
///
/// The lock goes with the process, however it ends; the file stays, is empty and is used again.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _locked: File,
}

impl Port {
    /// Takes a free port.
    pub(crate) fn take() -> Result<Self, ServerError> {
        let failed = "taking a loopback port";
        let folder =
            std::env::temp_dir().join(format!("undercurrent-ports-{}", rustix::process::getuid().as_raw()));
        std::fs::create_dir_all(&folder).map_err(ServerError::system(failed))?;
        let count = u128::from(LAST - FIRST);
        // Somewhere, then upwards: two tests that begin at the same moment do not meet.
        let start = uuid::Uuid::new_v4().as_u128() % count;
        for step in 0..count {
            let number =
                FIRST + u16::try_from((start + step) % count).expect("it is below a number of ports");
            let locked =
                File::create(folder.join(number.to_string())).map_err(ServerError::system(failed))?;
            if locked.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Ok(Self { number, _locked: locked });
            }
        }
        Err(ServerError::System { doing: failed, cause: std::io::ErrorKind::AddrInUse.into() })
    }

    /// Returns its number.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_although_nothing_listens() {
        let ports: Vec<_> = (0..64).map(|_| Port::take().unwrap()).collect();
        let mut numbers: Vec<_> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ports.len());
    }
}
