//! Reading a file.

use std::fs::File;
use std::io::Read as _;

use bytes::Bytes;
use rustix::fs::{FileType, OFlags};

use super::fault::Fault;
use super::{Files, Granted};

impl Files {
    pub(super) fn read_now(&self, path: &str, granted: &Granted) -> Result<Bytes, Fault> {
        let place = self.place(path, granted)?;
        if place.kind == FileType::Directory {
            return Err(Fault::Directory);
        }
        let file = File::from(place.open(OFlags::empty())?);
        let too_large = Fault::Limit("the bytes of the file", self.limits.read);
        let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if bytes > self.limits.read {
            return Err(too_large);
        }
        // One more than what was measured: the file may grow meanwhile.
        let most = u64::try_from(self.limits.read).unwrap_or(u64::MAX).saturating_add(1);
        let mut content = Vec::with_capacity(bytes);
        file.take(most).read_to_end(&mut content)?;
        if content.len() > self.limits.read {
            return Err(too_large);
        }
        Ok(content.into())
    }
}
